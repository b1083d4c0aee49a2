// The architecture, enforced: who may import whom, how long files are, how they begin and what they are called.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { Node, Project, type SourceFile, SyntaxKind } from "ts-morph";
import { describe, expect, test } from "vitest";

/** What the files of a folder may import of the others; the longest prefix that fits counts. `types` means `import type` only. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  ir: [],
  runtime: [],
  compiler: ["ir", "runtime/artifact.ts"],
  // A user's configuration names types of every part.
  "compiler/config.ts": ["ir", "runtime (types)"],
  // The composition roots: the only code that knows everything.
  "compiler/index.ts": ["ir", "runtime", "backends"],
  "compiler/cli": ["ir", "runtime", "backends"],
  backends: ["ir", "compiler/backend.ts"],
};

const HARD_LIMIT = 400;
/** Declarations of tests may be long lists; still nobody should have to scroll for ever. */
const FOLDERS = ["ir", "compiler", "backends", "runtime", "tests", "examples", "bench"];
const SOURCES = ["ir", "compiler", "backends", "runtime"];

const walk = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true }).flatMap((e) => {
        if (e.name === "node_modules" || e.name === "dist") return [];
        return e.isDirectory() ? walk(join(folder, e.name)) : [join(folder, e.name)];
      })
    : [];
const files = FOLDERS.flatMap(walk).filter((f) => f.endsWith(".ts") && !f.endsWith(".d.ts"));

const project = new Project({ skipAddingFilesFromTsConfig: true, compilerOptions: { allowImportingTsExtensions: true } });
for (const f of SOURCES.flatMap(walk)) if (f.endsWith(".ts")) project.addSourceFileAtPath(f);
const sources: readonly (readonly [string, SourceFile])[] = project
  .getSourceFiles()
  .map((s) => [relative(process.cwd(), s.getFilePath()), s]);

const rootOf = (path: string): string | undefined =>
  Object.keys(MAY_IMPORT)
    .filter((p) => path === p || path.startsWith(`${p}/`))
    .sort((a, b) => b.length - a.length)[0];

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function importsOf(file: SourceFile): readonly Import[] {
  const declared = [...file.getImportDeclarations(), ...file.getExportDeclarations()].flatMap((d): Import[] => {
    const specifier = d.getModuleSpecifierValue();
    if (specifier === undefined) return [];
    const named = Node.isImportDeclaration(d) ? d.getNamedImports() : d.getNamedExports();
    const only = d.isTypeOnly() || (named.length > 0 && named.every((n) => n.isTypeOnly()));
    return [{ specifier, typeOnly: only }];
  });
  const dynamic = file
    .getDescendantsOfKind(SyntaxKind.CallExpression)
    .filter((c) => c.getExpression().getKind() === SyntaxKind.ImportKeyword)
    .flatMap((c): Import[] => {
      const [first] = c.getArguments();
      return Node.isStringLiteral(first) ? [{ specifier: first.getLiteralText(), typeOnly: false }] : [];
    });
  return [...declared, ...dynamic];
}

/** A folder or file of ours that may be imported, as `MAY_IMPORT` writes it. */
function allowed(from: string, to: string, typeOnly: boolean): boolean {
  const root = rootOf(from)!;
  const folder = root.split("/")[0]!;
  // Two backends never meet, but each is made of several files.
  if (folder === "backends" && to.startsWith("backends/"))
    return from === "backends/index.ts" || dirname(to) === "backends" || to.split("/")[1] === from.split("/")[1];
  if (to === folder || to.startsWith(`${folder}/`)) {
    const composes = (path: string) => path === "compiler/index.ts" || path.startsWith("compiler/cli/");
    return folder !== "compiler" || typeOnly || !composes(to) || composes(from);
  }
  return MAY_IMPORT[root]!.some((rule) => {
    const [path, mode] = rule.split(" ");
    return (to === path || to.startsWith(`${path}/`)) && (mode === undefined || typeOnly);
  });
}

describe("imports", () => {
  test("go only where the layering allows", () => {
    const bad = sources.flatMap(([from, file]) =>
      importsOf(file).flatMap(({ specifier, typeOnly }) => {
        if (!specifier.startsWith(".")) return [];
        const to = relative(process.cwd(), join(process.cwd(), dirname(from), specifier));
        return allowed(from, to, typeOnly) ? [] : [`${from} -> ${to}`];
      }),
    );
    expect(bad).toEqual([]);
  });

  test("name files with their extension", () => {
    const bad = sources.flatMap(([from, file]) =>
      importsOf(file).flatMap(({ specifier }) =>
        specifier.startsWith(".") && !/\.(ts|json)$/.test(specifier) ? [`${from}: ${specifier}`] : [],
      ),
    );
    expect(bad).toEqual([]);
  });

  test("ir and runtime depend on no package; runtime on no node: module at the top level", () => {
    const bad = sources.flatMap(([from, file]) => {
      if (!/^(ir|runtime)\//.test(from)) return [];
      const declared = file.getImportDeclarations().map((d) => d.getModuleSpecifierValue());
      return declared.flatMap((s) => (s.startsWith(".") ? [] : [`${from}: ${s}`]));
    });
    expect(bad).toEqual([]);
  });

  test("packages are those of package.json, binaryen in one file", () => {
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const used = sources.flatMap(([from, file]) =>
      importsOf(file).flatMap(({ specifier, typeOnly }) => (/^(\.|node:)/.test(specifier) ? [] : [{ from, specifier, typeOnly }])),
    );
    const packageOf = (s: string) =>
      s
        .split("/")
        .slice(0, s.startsWith("@") ? 2 : 1)
        .join("/");
    expect(used.filter((u) => !(packageOf(u.specifier) in dependencies))).toEqual([]);
    const assemblers = new Set(used.filter((u) => u.specifier === "binaryen" && !u.typeOnly).map((u) => u.from));
    expect(assemblers.size).toBeLessThanOrEqual(1);
  });
});

describe("files", () => {
  test(`have at most ${HARD_LIMIT} lines`, () => {
    const long = files.flatMap((f) => {
      const lines = readFileSync(f, "utf8").split("\n").length - 1;
      return lines > HARD_LIMIT ? [`${f}: ${lines}`] : [];
    });
    expect(long).toEqual([]);
  });

  test("begin by saying in a sentence what they are", () => {
    const bad = files.filter((f) => {
      const [first = "", second = ""] = readFileSync(f, "utf8").split("\n");
      return !/^\/\/ \S.{10,}/.test(first.startsWith("#!") ? second : first);
    });
    expect(bad).toEqual([]);
  });

  test("are named in kebab-case for what they hold", () => {
    const bad = files.filter(
      (f) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config))?\.ts$/.test(basename(f)) ||
        /(^|-)(utils?|helpers?|managers?|base|misc|common)(-|\.)/.test(basename(f)),
    );
    expect(bad).toEqual([]);
  });

  test("leave nothing for later", () => {
    const marks = new RegExp(`\\b(${["TO", "FIX", "XX", "HA"].map((start, i) => start + ["DO", "ME", "X", "CK"][i]).join("|")})\\b`);
    expect(files.filter((f) => marks.test(readFileSync(f, "utf8")))).toEqual([]);
  });
});

describe("code", () => {
  test("speaks to the console in the command line only", () => {
    const bad = sources.flatMap(([path, file]) => {
      if (path.startsWith("compiler/cli/")) return [];
      return file.getDescendantsOfKind(SyntaxKind.Identifier).some((i) => i.getText() === "console") ? [path] : [];
    });
    expect(bad).toEqual([]);
  });

  test("evaluates no text", () => {
    const bad = sources.flatMap(([path, file]) => {
      const calls = [...file.getDescendantsOfKind(SyntaxKind.CallExpression), ...file.getDescendantsOfKind(SyntaxKind.NewExpression)];
      return calls.filter((c) => /^(eval|Function)$/.test(c.getExpression().getText())).map((c) => `${path}:${c.getStartLineNumber()}`);
    });
    expect(bad).toEqual([]);
  });

  test("has no enum, no namespace, no any, and default exports in configurations only", () => {
    const bad = sources.flatMap(([path, file]) => [
      ...file.getDescendantsOfKind(SyntaxKind.EnumDeclaration).map((n) => `${path}:${n.getStartLineNumber()} enum`),
      ...file
        .getDescendantsOfKind(SyntaxKind.ModuleDeclaration)
        .filter((n) => !n.getText().startsWith("declare module"))
        .map((n) => `${path}:${n.getStartLineNumber()} namespace`),
      ...file.getDescendantsOfKind(SyntaxKind.AnyKeyword).map((n) => `${path}:${n.getStartLineNumber()} any`),
      ...file.getExportAssignments().map((n) => `${path}:${n.getStartLineNumber()} default export`),
    ]);
    expect(bad).toEqual([]);
  });
});

test("a pass is called like its file", () => {
  const bad = sources.flatMap(([path, file]) => {
    if (!/^compiler\/passes\/[^/]+\.ts$/.test(path)) return [];
    // The literal that definePass or rewritePass is given.
    const name = /\b(?:definePass|rewritePass)\(\{\s*name: "([a-z0-9-]+)"/.exec(file.getText())?.[1];
    return name === basename(path, ".ts") ? [] : [`${path}: ${name}`];
  });
  expect(bad).toEqual([]);
});
