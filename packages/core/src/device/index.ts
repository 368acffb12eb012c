/** The host side: a complete virtio-gpu device. */
export {};
