// Lists of words of weights: for each group of features, which words of neighbouring inputs any of them has a weight in.

/** Neighbouring inputs that are kept or left out together. */
export const WORD = 4;

/** Features that share a list. */
export type GroupSize = 4 | 8;

interface Group {
  readonly first: number;
  readonly features: GroupSize;
  /** Numbers of the words that are kept, ascending. */
  readonly words: Uint16Array;
}

/** Groups that follow each other, of as many features each. */
export interface Part {
  readonly features: GroupSize;
  /** The first feature, and the one behind the last. */
  readonly first: number;
  readonly end: number;
  /** Where it begins: the number of its first group, that of its first word, and the byte of its first weight. */
  readonly group: number;
  readonly word: number;
  readonly byte: number;
  /** Words of all its groups. */
  readonly words: number;
}

export interface Lists {
  /** Words of each group. */
  readonly counts: Uint16Array;
  /** Numbers of words, group after group. */
  readonly words: Uint16Array;
  /** For each word of a group the four weights of each feature. */
  readonly weights: Int8Array;
  readonly parts: readonly Part[];
}

/** Words of a group that any of its features has a weight in; every word where `all` are wanted. */
function keptWords(weights: Int8Array, depth: number, first: number, features: number, all: boolean): Uint16Array {
  const kept: number[] = [];
  for (let at = 0; at < depth; at += WORD) {
    let some = all ? 1 : 0;
    for (let m = first; m < first + features; m++) for (let k = at; k < at + WORD; k++) some |= weights[m * depth + k]!;
    if (some !== 0) kept.push(at / WORD);
  }
  return Uint16Array.from(kept);
}

/** Weights [features, depth] in groups of `size` features, the last of which may be of four. */
function groupsOf(weights: Int8Array, features: number, depth: number, size: GroupSize, all: boolean): Group[] {
  const groups: Group[] = [];
  for (let first = 0; first < features; ) {
    const n = features - first < size ? 4 : size;
    groups.push({ first, features: n, words: keptWords(weights, depth, first, n, all) });
    first += n;
  }
  return groups;
}

/** Runs of groups of one size, of about as many words: at most `pieces` of a size, and one more. */
function partsOf(groups: readonly Group[], pieces: number): Part[] {
  const bytesOf = (g: Group): number => g.words.length * g.features * WORD;
  const most = groups.reduce((sum, g) => sum + bytesOf(g), 0) / pieces;
  const parts: Part[] = [];
  let [word, byte] = [0, 0];
  for (let at = 0; at < groups.length; ) {
    const { first, features } = groups[at]!;
    let [end, words] = [at, 0];
    do words += groups[end++]!.words.length;
    while (end < groups.length && groups[end]!.features === features && words * features * WORD < most);
    const last = groups[end - 1]!;
    parts.push({ features, first, end: last.first + last.features, group: at, word, byte, words });
    word += words;
    byte += words * features * WORD;
    at = end;
  }
  return parts;
}

/** Inputs of which there can be lists. */
export const MOST_DEPTH = WORD * 65535;

/** Weights [features, depth] of whole words, at most `MOST_DEPTH` deep, features in fours; with every word in the lists, or those not all zeros. */
export function wordLists(weights: Int8Array, features: number, depth: number, size: GroupSize, all: boolean, pieces: number): Lists {
  const groups = groupsOf(weights, features, depth, size, all);
  const words = new Uint16Array(groups.reduce((sum, g) => sum + g.words.length, 0));
  const kept = new Int8Array(groups.reduce((sum, g) => sum + g.words.length * g.features * WORD, 0));
  let [word, byte] = [0, 0];
  for (const g of groups) {
    words.set(g.words, word);
    word += g.words.length;
    for (const w of g.words)
      for (let m = g.first; m < g.first + g.features; m++, byte += WORD)
        kept.set(weights.subarray(m * depth + w * WORD, m * depth + (w + 1) * WORD), byte);
  }
  return { counts: Uint16Array.from(groups, (g) => g.words.length), words, weights: kept, parts: partsOf(groups, pieces) };
}
