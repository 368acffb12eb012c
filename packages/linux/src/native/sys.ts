/**
 * The foreign functions of this package, all of them: libc and, once somebody asks for it, libsystemd. koffi is loaded
 * with the first call, so that whoever needs none of this needs no native add-on.
 *
 * Structures are laid out by their users, in plain buffers. A buffer whose address stands in another one must be kept
 * alive by the caller until the call returns.
 */
import { createRequire } from "node:module";
import type * as koffiTypes from "koffi";
import { GpuError } from "@virtgpu/core/base";
import { SystemCallError } from "./system-call-error.ts";

type Koffi = typeof koffiTypes;

/** mmap(2): protection and flags, as on x86-64 and arm64. */
export const Prot = { READ: 1, WRITE: 2 } as const;
export const MapFlag = {
  SHARED: 0x01,
  PRIVATE: 0x02,
  ANONYMOUS: 0x20,
  LOCKED: 0x2000,
  POPULATE: 0x8000,
  HUGETLB: 0x4_0000,
  /** 2 MiB: log2 of it, 21, shifted by 26. */
  HUGE_2MB: 0x5400_0000,
} as const;
/** eventfd(2). */
export const EventFdFlag = { NONBLOCK: 0x800, CLOEXEC: 0x8_0000 } as const;

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** A file descriptor that is watched. */
export interface Watch {
  /** Ends it; the descriptor itself is its owner's to close. */
  close(): void;
}

/** System calls. Each throws {@link SystemCallError} where the kernel refuses. */
export interface Sys {
  /** Returns the address. `fd` -1 for anonymous memory. */
  mmap(byteLength: number, protection: number, flags: number, fd: number, offset: number | bigint): bigint;
  munmap(address: bigint, byteLength: number): void;
  /** The bytes at an address as a live array buffer. Touching it after the munmap ends the process. */
  view(address: bigint, byteLength: number): ArrayBuffer;
  /** Where a buffer's bytes lie. */
  addressOf(bytes: Uint8Array): bigint;
  /** An ioctl(2) whose argument is a structure, read and written in place. Returns what the call returns. */
  ioctl(fd: number, request: number, argument: Uint8Array | null): number;
  /** The same in another thread: for calls that a driver may never answer. The argument lives until then. */
  ioctlLater(fd: number, request: number, argument: Uint8Array | null): Promise<number>;
  /** An ioctl(2) whose argument is a number. */
  ioctlNumber(fd: number, request: number, argument: number): number;
  eventfd(initial: number, flags: number): number;
  memfdCreate(name: string, flags: number): number;
  /** fcntl(F_DUPFD_CLOEXEC). */
  duplicate(fd: number): number;
  /** fcntl(2) with a number, e.g. F_ADD_SEALS. */
  fcntl(fd: number, command: number, argument: number): number;
  swapOn(path: string): void;
  swapOff(path: string): void;
  /** mount(2) of a kernel's own file system, e.g. "tracefs". */
  mount(type: string, target: string): void;
  /** A descriptor whose existence keeps the machine awake while `fd` can be read (epoll(7), EPOLLWAKEUP). The caller closes it. */
  wakeupSource(fd: number): number;
  /** Calls `onReadable` whenever the descriptor can be read; an error that it throws goes to `onError`. Keeps no process alive. */
  watch(fd: number, onReadable: () => void, onError: (error: unknown) => void): Watch;
}

let sys: Sys | null = null;

/** The system calls. Throws GpuError ENOTSUP where there is no Linux, or no add-on for this machine. */
export function loadSys(): Sys {
  sys ??= bindSys(loadKoffi());
  return sys;
}

let koffi: Koffi | null = null;

function loadKoffi(): Koffi {
  if (process.platform !== "linux") {
    throw new GpuError("ENOTSUP", `this needs Linux, and runs on ${process.platform}`);
  }
  try {
    koffi ??= createRequire(import.meta.url)("koffi") as Koffi;
    return koffi;
  } catch (error) {
    throw new GpuError("ENOTSUP", "the native add-on koffi can't be loaded: use pci-cfg with plain memory", {
      cause: error,
    });
  }
}

function bindSys(ffi: Koffi): Sys {
  const libc = ffi.load("libc.so.6");
  const bind = <F extends (...values: never[]) => unknown>(name: string, result: string, parameters: string[]): F =>
    libc.func(name, result, parameters) as unknown as F;
  const mmap = bind<
    (at: null, bytes: number, prot: number, flags: number, fd: number, from: bigint | number) => bigint
  >("mmap", "void *", ["void *", "size_t", "int", "int", "int", "int64_t"]);
  const munmap = bind<(at: bigint, bytes: number) => number>("munmap", "int", ["void *", "size_t"]);
  const ioctlPointer = bind<(fd: number, request: number, at: Uint8Array | null) => number>("ioctl", "int", [
    "int",
    "unsigned long",
    "void *",
  ]);
  const ioctlNumber = bind<(fd: number, request: number, value: number) => number>("ioctl", "int", [
    "int",
    "unsigned long",
    "unsigned long",
  ]);
  const eventfd = bind<(initial: number, flags: number) => number>("eventfd", "int", ["unsigned int", "int"]);
  const memfd = bind<(name: string, flags: number) => number>("memfd_create", "int", ["str", "unsigned int"]);
  const fcntl = bind<(fd: number, command: number, value: number) => number>("fcntl", "int", ["int", "int", "long"]);
  const swapOn = bind<(path: string, flags: number) => number>("swapon", "int", ["str", "int"]);
  const swapOff = bind<(path: string) => number>("swapoff", "int", ["str"]);
  const mount = bind<(source: string, target: string, type: string, flags: number, data: null) => number>(
    "mount",
    "int",
    ["str", "str", "str", "unsigned long", "void *"],
  );
  const epollCreate = bind<(flags: number) => number>("epoll_create1", "int", ["int"]);
  const epollControl = bind<(epoll: number, operation: number, fd: number, event: Uint8Array) => number>(
    "epoll_ctl",
    "int",
    ["int", "int", "int", "void *"],
  );
  const checked = (result: number, call: string): number => {
    if (result === -1) throw SystemCallError.of(ffi.errno(), call);
    return result;
  };
  return {
    mmap: (byteLength, protection, flags, fd, offset) => {
      const address = mmap(null, byteLength, protection, flags, fd, offset);
      if (address === MAP_FAILED) throw SystemCallError.of(ffi.errno(), `mmap of ${byteLength} bytes`);
      return address;
    },
    munmap: (address, byteLength) => void checked(munmap(address, byteLength), "munmap"),
    view: (address, byteLength) => ffi.view(address, byteLength),
    addressOf: (bytes) => ffi.address(bytes),
    ioctl: (fd, request, argument) => checked(ioctlPointer(fd, request, argument), `ioctl 0x${request.toString(16)}`),
    ioctlLater: (fd, request, argument) => ioctlInThread(ffi, ioctlPointer, { fd, request, argument }),
    ioctlNumber: (fd, request, value) => checked(ioctlNumber(fd, request, value), `ioctl 0x${request.toString(16)}`),
    eventfd: (initial, flags) => checked(eventfd(initial, flags), "eventfd"),
    memfdCreate: (name, flags) => checked(memfd(name, flags), "memfd_create"),
    duplicate: (fd) => checked(fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl(F_DUPFD_CLOEXEC)"),
    fcntl: (fd, command, argument) => checked(fcntl(fd, command, argument), `fcntl(${command})`),
    swapOn: (path) => void checked(swapOn(path, 0), `swapon ${path}`),
    swapOff: (path) => void checked(swapOff(path), `swapoff ${path}`),
    mount: (type, target) => void checked(mount(type, target, type, 0, null), `mount ${target}`),
    wakeupSource: (fd) => {
      const epoll = checked(epollCreate(EPOLL_CLOEXEC), "epoll_create1");
      checked(epollControl(epoll, EPOLL_CTL_ADD, fd, wakeupEvent()), "epoll_ctl");
      return epoll;
    },
    watch: (fd, onReadable, onError) => watchFd(ffi, fd, onReadable, onError),
  };
}

const F_DUPFD_CLOEXEC = 1030;
const [EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, EPOLLWAKEUP] = [0x8_0000, 1, 0x001, 0x2000_0000];

/** struct epoll_event: packed on x86-64, and no longer than 16 bytes anywhere. */
function wakeupEvent(): Uint8Array {
  return new Uint8Array(new Uint32Array([EPOLLIN | EPOLLWAKEUP, 0, 0, 0]).buffer);
}

function ioctlInThread(
  ffi: Koffi,
  ioctl: unknown,
  call: { readonly fd: number; readonly request: number; readonly argument: Uint8Array | null },
): Promise<number> {
  const later = ioctl as { async(...values: unknown[]): void };
  return new Promise((resolve, reject) => {
    later.async(call.fd, call.request, call.argument, (error: unknown, result: number) => {
      // What is thrown in koffi's callback vanishes without a trace.
      if (error !== null && error !== undefined) reject(error);
      else if (result === -1) reject(SystemCallError.of(ffi.errno(), `ioctl 0x${call.request.toString(16)}`));
      else resolve(result);
    });
  });
}

/** koffi's handles: one that nobody refers to is collected, and watches nothing any more. */
const watched = new Set<unknown>();

/**
 * koffi calls back outside of Node's bookkeeping: what is thrown there vanishes, and no promise goes on until something
 * else happens. So the work is done in the loop's next phase, as all other callbacks are.
 */
function watchFd(ffi: Koffi, fd: number, onReadable: () => void, onError: (error: unknown) => void): Watch {
  let isOpen = true;
  let isDue = false;
  const handle = ffi.node.poll(fd, { readable: true }, () => {
    if (isDue) return;
    isDue = true;
    setImmediate(() => {
      isDue = false;
      if (!isOpen) return;
      try {
        onReadable();
      } catch (error) {
        onError(error);
      }
    });
  });
  handle.unref();
  watched.add(handle);
  return {
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      watched.delete(handle);
      handle.close();
    },
  };
}

/** An opaque pointer of libsystemd's. */
export type SdPointer = bigint & { readonly sd: unique symbol };

/** libsystemd's sd-bus(3), as little as a client of logind needs. Negative results are errors, thrown as such. */
export interface SdBus {
  /** The system bus, or the one at `address`. */
  open(address: string | null): SdPointer;
  close(bus: SdPointer): void;
  fd(bus: SdPointer): number;
  addMatch(bus: SdPointer, rule: string): void;
  methodCall(bus: SdPointer, destination: string, path: string, face: string, member: string): SdPointer;
  appendString(message: SdPointer, value: string): void;
  /** Sends a call and waits for its answer, `timeoutUs` microseconds at most. */
  call(bus: SdPointer, message: SdPointer, timeoutUs: number): SdPointer;
  /** Takes one step: "none" is there to do, something "internal" was done, or a message came. */
  process(bus: SdPointer): "none" | "internal" | SdPointer;
  isSignal(message: SdPointer, face: string, member: string): boolean;
  readBoolean(message: SdPointer): boolean;
  /** A descriptor in a message: the message's own, gone with it. */
  readFd(message: SdPointer): number;
  unref(message: SdPointer): void;
}

let sdBus: SdBus | null = null;

/** sd-bus. Throws GpuError ENOTSUP where libsystemd is not installed. */
export function loadSdBus(): SdBus {
  sdBus ??= bindSdBus(loadKoffi());
  return sdBus;
}

function loadLibsystemd(ffi: Koffi): ReturnType<Koffi["load"]> {
  try {
    return ffi.load("libsystemd.so.0");
  } catch (error) {
    throw new GpuError("ENOTSUP", "libsystemd is not installed here, and logind is reached through it", {
      cause: error,
    });
  }
}

function bindSdBus(ffi: Koffi): SdBus {
  const library = loadLibsystemd(ffi);
  type Value = SdPointer | Uint8Array | string | number | bigint | null;
  const bind = (name: string, parameters: string[]): ((...values: Value[]) => number) => {
    const call = library.func(`sd_bus_${name}`, "int", parameters) as unknown as (...values: Value[]) => number;
    return (...values) => {
      const result = call(...values);
      if (result < 0) throw SystemCallError.of(-result, `sd_bus_${name}`);
      return result;
    };
  };
  const release = (name: string): ((pointer: SdPointer) => void) =>
    library.func(`sd_bus_${name}`, "void *", ["void *"]) as unknown as (pointer: SdPointer) => void;
  const [openSystem, create, start] = [
    bind("open_system", ["void *"]),
    bind("new", ["void *"]),
    bind("start", ["void *"]),
  ];
  const [setAddress, setClient] = [bind("set_address", ["void *", "str"]), bind("set_bus_client", ["void *", "int"])];
  const [getFd, addMatch] = [
    bind("get_fd", ["void *"]),
    bind("add_match", ["void *", "void *", "str", "void *", "void *"]),
  ];
  const newCall = bind("message_new_method_call", ["void *", "void *", "str", "str", "str", "str"]);
  const appendString = bind("message_append_basic", ["void *", "char", "str"]);
  const read = bind("message_read_basic", ["void *", "char", "void *"]);
  const call = bind("call", ["void *", "void *", "uint64_t", "void *", "void *"]);
  const step = bind("process", ["void *", "void *"]);
  const isSignal = bind("message_is_signal", ["void *", "str", "str"]);
  const [closeBus, unref] = [release("flush_close_unref"), release("message_unref")];
  return {
    open: (address) => {
      if (address === null) return pointerOut((at) => openSystem(at));
      const bus = pointerOut((at) => create(at));
      setAddress(bus, address);
      setClient(bus, 1);
      start(bus);
      return bus;
    },
    close: closeBus,
    fd: (bus) => getFd(bus),
    addMatch: (bus, rule) => void addMatch(bus, null, rule, null, null),
    methodCall: (bus, destination, path, face, member) =>
      pointerOut((at) => newCall(bus, at, destination, path, face, member)),
    appendString: (message, value) => void appendString(message, STRING, value),
    call: (bus, message, timeoutUs) => pointerOut((at) => call(bus, message, timeoutUs, null, at)),
    process: (bus) => {
      const out = new BigUint64Array(1);
      if (step(bus, new Uint8Array(out.buffer)) === 0) return "none";
      return out[0] === 0n ? "internal" : ((out[0] ?? 0n) as SdPointer);
    },
    isSignal: (message, face, member) => isSignal(message, face, member) > 0,
    readBoolean: (message) => wordOut((at) => read(message, BOOLEAN, at)) !== 0,
    readFd: (message) => wordOut((at) => read(message, FD, at)),
    unref,
  };
}

const [STRING, BOOLEAN, FD] = ["s", "b", "h"].map((letter) => letter.charCodeAt(0)) as [number, number, number];

function pointerOut(fill: (at: Uint8Array) => number): SdPointer {
  const out = new BigUint64Array(1);
  fill(new Uint8Array(out.buffer));
  return (out[0] ?? 0n) as SdPointer;
}

function wordOut(fill: (at: Uint8Array) => number): number {
  const out = new Int32Array(1);
  fill(new Uint8Array(out.buffer));
  return out[0] ?? 0;
}
