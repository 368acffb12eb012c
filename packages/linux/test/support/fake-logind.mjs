/**
 * A logind of the test's own on a private bus, in a process of its own: `node fake-logind.mjs ADDRESS`. Told by lines on
 * standard input ("sleep" and "wake"); tells on standard output who inhibits, and when that ends. sd-bus(3) through koffi.
 */
import { createInterface } from "node:readline";
import koffi from "koffi";

const [address] = process.argv.slice(2);
const library = koffi.load("libsystemd.so.0");
const libc = koffi.load("libc.so.6");
const bind = (name, parameters) => {
  const call = library.func(`sd_bus_${name}`, "int", parameters);
  return (...values) => {
    const result = call(...values);
    if (result < 0) throw new Error(`sd_bus_${name}: ${result}`);
    return result;
  };
};
const P = "void *";
const create = bind("new", [P]);
const setAddress = bind("set_address", [P, "str"]);
const setClient = bind("set_bus_client", [P, "int"]);
const start = bind("start", [P]);
const requestName = bind("request_name", [P, "str", "uint64_t"]);
const step = bind("process", [P, P]);
const getFd = bind("get_fd", [P]);
const isCall = bind("message_is_method_call", [P, "str", "str"]);
const skip = bind("message_read_basic", [P, "char", P]);
const newReply = bind("message_new_method_return", [P, P]);
const appendFd = bind("message_append_basic", [P, "char", P]);
const send = bind("send", [P, P, P]);
const newSignal = bind("message_new_signal", [P, P, "str", "str", "str"]);
const flush = bind("flush", [P]);
const unref = library.func("sd_bus_message_unref", P, [P]);
const pipe = libc.func("pipe", "int", [P]);
const close = libc.func("close", "int", ["int"]);

const out = () => new BigUint64Array(1);
const MANAGER = "org.freedesktop.login1.Manager";
const say = (line) => process.stdout.write(`${line}\n`);

const holder = out();
create(holder);
const bus = holder[0];
setAddress(bus, address);
setClient(bus, 1);
start(bus);
requestName(bus, "org.freedesktop.login1", 0n);

function inhibit(message) {
  const words = ["what", "who", "why", "mode"].map(() => {
    const at = out();
    skip(message, "s".charCodeAt(0), at);
    return koffi.decode.string(at[0]);
  });
  const ends = new Int32Array(2);
  pipe(ends);
  const reply = out();
  newReply(message, reply);
  appendFd(reply[0], "h".charCodeAt(0), ends.subarray(1));
  send(bus, reply[0], null);
  flush(bus);
  // The message has a descriptor of its own.
  unref(reply[0]);
  // Only the other side has this end now: when it is closed there, the pipe ends here.
  close(ends[1]);
  say(`inhibited ${words.join("|")}`);
  watch(ends[0], { readable: true, disconnect: true }, (handle) => {
    watches.delete(handle);
    handle.close();
    close(ends[0]);
    say("released");
  });
}

function work() {
  for (;;) {
    const message = out();
    if (step(bus, message) === 0) return;
    if (message[0] === 0n) continue;
    if (isCall(message[0], MANAGER, "Inhibit") > 0) inhibit(message[0]);
    unref(message[0]);
  }
}

// Handles that nobody refers to are collected, and in koffi's callbacks nothing may throw.
const watches = new Set();
function watch(fd, events, action) {
  const handle = koffi.node.poll(fd, events, () => setImmediate(() => watches.has(handle) && action(handle)));
  watches.add(handle);
}
watch(getFd(bus), { readable: true }, work);
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const signal = out();
    newSignal(bus, signal, "/org/freedesktop/login1", MANAGER, "PrepareForSleep");
    appendFd(signal[0], "b".charCodeAt(0), Int32Array.of(line === "sleep" ? 1 : 0));
    send(bus, signal[0], null);
    flush(bus);
  })
  .on("close", () => process.exit());
work();
say("ready");
