import type { Verdict } from '../api/stats.ts'

const verdicts: Record<Verdict, string> = {
  asked: 'asked',
  replaced: 'another replica',
  'pruned-label': 'identity label',
  'pruned-time': 'time',
  'pruned-hint': 'field hint',
  rollup: 'rollup',
}

/** By what a child was ruled out. A verdict of a newer version stands for itself. */
export function verdictWord(v: Verdict): string {
  return verdicts[v] ?? v
}

const meanings: Record<Verdict, string> = {
  asked: 'It may hold a matching series.',
  replaced: 'It was asked, but failed or was slower, and another replica answered in its place.',
  'pruned-label': 'Its identity labels contradict the selector: all its series have other ones.',
  'pruned-time': 'It holds no samples of that time.',
  'pruned-hint': 'Its field hint, the summary of all label values it holds, rules out a matching series.',
  rollup: 'A rollup of the tier above has all that was asked for.',
}

/** What a verdict means, in a sentence. */
export function verdictMeaning(v: Verdict): string {
  return meanings[v] ?? ''
}

/** By what and on what evidence a child was ruled out: field hint: job="api". */
export function reason(v: Verdict, evidence: string | undefined): string {
  return evidence ? `${verdictWord(v)}: ${evidence}` : verdictWord(v)
}

/** A tier's kind and its identity, if that says more. */
export function title(tier: string, name: string): string {
  return tier === name || tier === '' ? name : `${tier} ${name}`
}

/** 1 leaf, 2 leaves. */
export function counted(n: number, one: string, many: string): string {
  return n === 1 ? `1 ${one}` : `${n} ${many}`
}

/** A query on one line. */
export function oneLine(query: string): string {
  return query.trim().split(/\s+/).join(' ')
}

/** The name of a set of replicas and which of them it is: zone=eu/replica=a is zone=eu, a. */
export function splitReplica(name: string): { set: string; replica?: string } {
  const i = name.indexOf('/replica=')
  return i < 0 ? { set: name } : { set: name.slice(0, i), replica: name.slice(i + '/replica='.length) }
}

const kinds: Record<string, string> = {
  concat: 'each child’s results stand side by side',
  raw: 'raw series are pulled and read here',
  guard: 'must have no result, or the plan is given up',
}

/** What a fragment's kind says of how answers are put together. */
export function kindMeaning(kind: string): string {
  return kinds[kind] ?? 'the children’s partial results are combined here'
}
