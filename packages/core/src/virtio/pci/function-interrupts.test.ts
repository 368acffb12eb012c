import { describe, expect, it } from "vitest";
import { CommonConfig, PciCommand, PciHeader } from "../../wire/pci.ts";
import { capabilitiesOf, isrOf, registersOf, running } from "./function-bench.ts";

const { MEMORY, BUS_MASTER, INTX_DISABLE } = PciCommand;

describe("the INTx line", () => {
  it("is up while the ISR holds something; reading it takes that back", () => {
    const { driver, pci, line, model, transport, config } = running({ msix: false });
    transport.setInterruptHandler(null);
    driver.echo("HAL");
    model.host.configChanged();
    expect([line, config.read16(PciHeader.STATUS) & 8]).toEqual([[true], 8]);
    expect(registersOf(pci).read8(isrOf(pci))).toBe(3);
    expect(registersOf(pci).read8(isrOf(pci))).toBe(0);
    expect([line, config.read16(PciHeader.STATUS) & 8]).toEqual([[true, false], 0]);
  });

  it("obeys INTX_DISABLE, and tells a driver that comes or looks late", () => {
    const { pci, line, model, config, transport } = running({ msix: false });
    transport.setInterruptHandler(null);
    config.write16(PciHeader.COMMAND, MEMORY | BUS_MASTER | INTX_DISABLE);
    model.host.configChanged();
    expect(line).toEqual([]);
    const vectors: number[] = [];
    config.write16(PciHeader.COMMAND, MEMORY | BUS_MASTER);
    pci.interrupts.setHandler((vector) => vectors.push(vector));
    expect([line, vectors]).toEqual([[true], [-1]]);
    model.host.configChanged();
    expect(vectors).toEqual([-1, -1]);
  });

  it("falls with a reset of the device", () => {
    const { line, model, transport, device } = running({ msix: false });
    transport.setInterruptHandler(null);
    model.host.configChanged();
    device.writeStatus(0);
    expect(line).toEqual([true, false]);
  });
});

describe("MSI-X", () => {
  function withTable() {
    const parts = running();
    parts.transport.setInterruptHandler(null);
    parts.pci.bar(1)?.write32(12, 1);
    const table = parts.pci.bar(1);
    if (table === null) throw new Error("no MSI-X BAR");
    for (const vector of [0, 1, 2]) {
      table.write32(16 * vector, 0xfee0_0000);
      table.write32(16 * vector + 4, vector);
      table.write32(16 * vector + 8, 0x40 + vector);
      table.write32(16 * vector + 12, 0);
    }
    parts.messages.length = 0;
    return { ...parts, table, msix: capabilitiesOf(parts.pci).msix ?? 0 };
  }

  it("sends each queue's and the configuration's message, and leaves line and ISR alone", () => {
    const { driver, model, messages, line, pci } = withTable();
    driver.echo("HAL");
    driver.echo("HAL", 1);
    model.host.configChanged();
    expect(messages).toEqual([
      [0x1_fee0_0000, 0x41],
      [0x2_fee0_0000, 0x42],
      [0xfee0_0000, 0x40],
    ]);
    expect([line, registersOf(pci).read8(isrOf(pci))]).toEqual([[], 0]);
  });

  it("keeps what is masked pending, and sends it once when it is not", () => {
    const { driver, messages, table, config, msix } = withTable();
    table.write32(16 + 12, 1);
    driver.echo("HAL");
    driver.echo("HAL");
    expect([messages, table.read32(0x800)]).toEqual([[], 2]);
    config.write16(msix + 2, 0xc000);
    table.write32(16 + 12, 0);
    expect([messages, table.read8(0x800)]).toEqual([[], 2]);
    config.write16(msix + 2, 0x8000);
    expect([messages, table.read32(0x800)]).toEqual([[[0x1_fee0_0000, 0x41]], 0]);
  });

  it("sends nothing without bus mastering: messages are memory writes", () => {
    const { model, messages, config } = withTable();
    config.write16(PciHeader.COMMAND, MEMORY);
    model.host.configChanged();
    expect(messages).toEqual([]);
    config.write16(PciHeader.COMMAND, MEMORY | BUS_MASTER);
    expect(messages).toHaveLength(1);
  });

  it("forgets the vectors, but not the table, with a reset of the device", () => {
    const { device, pci, table } = withTable();
    const registers = registersOf(pci);
    const vectors = (): readonly number[] => {
      registers.write16(CommonConfig.QUEUE_SELECT, 1);
      return [registers.read16(CommonConfig.CONFIG_MSIX_VECTOR), registers.read16(CommonConfig.QUEUE_MSIX_VECTOR)];
    };
    expect(vectors()).toEqual([0, 2]);
    device.writeStatus(0);
    expect([vectors(), table.read32(8)]).toEqual([[0xffff, 0xffff], 0x40]);
  });

  it("is let through again for a driver in this process that puts the BARs back after a reset", () => {
    const { pci, transport } = running();
    pci.reset();
    expect(pci.block(1)?.read32(12)).toBe(1);
    transport.reattach();
    expect(pci.bar(1)?.read32(12)).toBe(0);
  });

  it("reads a vector that does not exist back as none, and interrupts nobody with it", () => {
    const { driver, messages, pci, device } = withTable();
    const registers = registersOf(pci);
    registers.write16(CommonConfig.QUEUE_SELECT, 0);
    for (const vector of [3, 0xffff]) {
      registers.write16(CommonConfig.QUEUE_MSIX_VECTOR, vector);
      registers.write16(CommonConfig.CONFIG_MSIX_VECTOR, vector);
      expect(registers.read16(CommonConfig.QUEUE_MSIX_VECTOR)).toBe(0xffff);
      expect(registers.read16(CommonConfig.CONFIG_MSIX_VECTOR)).toBe(0xffff);
    }
    driver.echo("HAL");
    device.configChanged();
    expect(messages).toEqual([]);
  });
});
