/**
 * What helps today, where the kernel's driver does not come through: take the driver away before the sleep, and give the
 * device back to it afterwards. As a unit of systemd, which runs it around every sleep (systemd.special(7), sleep.target; `$$` is its way to write `$`, systemd.service(5)).
 */
import type { LinuxRemedy } from "../../report/linux-record.ts";

const FILE = "virtio-gpu-rebind.service";

/** The unit and what is to be known of it. */
export function unbindRemedy(): LinuxRemedy {
  return {
    about: `Unbind the driver before the sleep and bind it after, which sets the device up from nothing. Text consoles and a desktop that is told of new displays come back; a program that holds the old device (a compositor without hotplug of GPUs) has to be started again. Install: copy the unit to /etc/systemd/system/${FILE}, then systemctl enable ${FILE}.`,
    file: FILE,
    unit: UNIT,
  };
}

const UNIT = `[Unit]
Description=Unbind virtio GPUs before a sleep, and bind them after it
Before=sleep.target
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory=virtio-gpu-rebind
ExecStart=/bin/sh -c '\\
  : > "$$RUNTIME_DIRECTORY/devices"; \\
  for console in /sys/class/vtconsole/vtcon*; do \\
    if grep -q "frame buffer" "$$console/name" && [ "$$(cat "$$console/bind")" = 1 ]; then \\
      echo 0 > "$$console/bind"; echo "$$console" >> "$$RUNTIME_DIRECTORY/consoles"; \\
    fi; \\
  done; \\
  for device in /sys/bus/virtio/drivers/virtio_gpu/virtio*; do \\
    [ -e "$$device" ] || continue; \\
    name=$$(basename "$$device"); \\
    echo "$$name" >> "$$RUNTIME_DIRECTORY/devices"; \\
    echo "$$name" > /sys/bus/virtio/drivers/virtio_gpu/unbind; \\
  done'
ExecStop=/bin/sh -c '\\
  while read -r name; do \\
    echo "$$name" > /sys/bus/virtio/drivers/virtio_gpu/bind; \\
  done < "$$RUNTIME_DIRECTORY/devices"; \\
  if [ -e "$$RUNTIME_DIRECTORY/consoles" ]; then \\
    while read -r console; do \\
      echo 1 > "$$console/bind"; \\
    done < "$$RUNTIME_DIRECTORY/consoles"; \\
  fi'

[Install]
WantedBy=sleep.target
`;
