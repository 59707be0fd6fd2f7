import { none } from './numbers.ts'

/** A revision as people say it: the start of a commit's hash. What is no hash is said whole. */
export function short(revision: string | undefined): string {
  if (!revision) return none
  return /^[0-9a-f]{40,}$/.test(revision) ? revision.slice(0, 12) : revision
}
