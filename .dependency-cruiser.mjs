/**
 * Who may import whom. Inside the core imports go down only:
 *
 *   base < wire < memory < virtio < { driver, device } < sleep < sim
 *
 * with driver and device blind to each other. Tests may look everywhere. packages/core/test/boundaries.test.ts plants a
 * violation of each rule and sees it refused.
 */

/** The layers, lowest first; those in one row may not import each other. */
const layers = [["base"], ["wire"], ["memory"], ["virtio"], ["driver", "device"], ["sleep"], ["sim"]];

const test = "\\.test\\.ts$";

/** One rule a layer: it reaches neither what lies above it nor its neighbours in the row. */
function layerRules() {
  return layers.flatMap((row, height) =>
    row.flatMap((layer) => {
      const refused = [...row.filter((other) => other !== layer), ...layers.slice(height + 1).flat()];
      if (refused.length === 0) return [];
      return [
        {
          name: `core-${layer}-imports-down-only`,
          severity: "error",
          comment: `${layer} lies below (or beside) ${refused.join(", ")} and may not import them`,
          from: { path: `^packages/core/src/${layer}/`, pathNot: test },
          to: { path: `^packages/core/src/(${refused.join("|")})/` },
        },
      ];
    }),
  );
}

export default {
  forbidden: [
    ...layerRules(),
    {
      name: "core-stands-alone",
      severity: "error",
      comment:
        "the core imports nothing but its own sources, by relative path: no dependency, no node:*, not itself by name",
      from: { path: "^packages/core/src/", pathNot: test },
      to: { pathNot: "^packages/core/src/" },
    },
    {
      name: "core-index-without-sim",
      severity: "error",
      comment: "the simulation is for tests and the lab; it has its own entry point",
      from: { path: "^packages/core/src/index\\.ts$" },
      to: { path: "^packages/core/src/sim/" },
    },
    {
      name: "no-test-in-product",
      severity: "error",
      comment: "what is shipped does not import tests",
      from: { path: "^packages/[^/]+/src/", pathNot: test },
      to: { path: "\\.test\\.ts$|^packages/[^/]+/(test|bench|scripts)/" },
    },
    {
      name: "packages-by-name",
      severity: "error",
      comment: "another package is imported by its name and exports, never by a path into its folder",
      from: { path: "^packages/([^/]+)/src/" },
      to: { path: "^packages/[^/]+/", pathNot: "^packages/$1/", dependencyTypes: ["local"] },
    },
    {
      name: "ffi-in-one-file",
      severity: "error",
      comment: "foreign functions are declared in one file, which everything else calls as plain TypeScript",
      from: { path: "^packages/[^/]+/src/", pathNot: "^packages/linux/src/native/" },
      to: { path: "(^|/)koffi(/|$)" },
    },
    {
      name: "sim-only-for-tests-and-lab",
      severity: "error",
      comment: "only tests, benchmarks, examples and the lab import the simulation",
      from: { path: "^packages/[^/]+/src/", pathNot: [test, "^packages/core/", "^packages/lab/"] },
      to: { path: "^packages/core/(src|dist)/sim/|^@virtgpu/core/sim" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules|/dist/" },
    exclude: { path: "(^|/)(coverage|\\.cache)/" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
