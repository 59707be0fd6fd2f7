/** A page of the console: its path is one segment, see vite.config.ts. The server serves these paths, and no others. */
export interface PageInfo {
  path: string
  title: string
  /** The one question that the page answers, shown below its title. */
  question: string
  group: 'ask' | 'planet' | 'tier' | 'hidden'
  /** It takes all of a wall's width: what it draws grows with it. Lines of text and of tables are lost in that. */
  wide?: boolean
}

export const pages: PageInfo[] = [
  { path: 'query', title: 'Query', question: 'What is the answer, and is it whole?', group: 'ask', wide: true },
  { path: 'why', title: 'Why', question: 'Why is it slow, empty or partial?', group: 'ask' },
  { path: 'queries', title: 'Queries', question: 'What runs, and what hurt us?', group: 'ask', wide: true },
  { path: 'planet', title: 'Planet', question: 'Where is it, and what moves?', group: 'planet', wide: true },
  { path: 'leaves', title: 'Leaves', question: 'Which leaf is dark, late or lying?', group: 'planet', wide: true },
  { path: 'leaf', title: 'Leaf', question: 'How is this leaf?', group: 'hidden' },
  { path: 'hints', title: 'Hints', question: 'Does pruning pay?', group: 'planet' },
  { path: 'rollups', title: 'Rollups', question: 'Is the rollup whole?', group: 'planet' },
  { path: 'rollouts', title: 'Rollouts', question: 'Which config runs where, and may I go on?', group: 'planet' },
  { path: 'alerts', title: 'Alerts', question: 'What is firing?', group: 'tier' },
  { path: 'rules', title: 'Rules', question: 'What is evaluated here, and does it work?', group: 'tier' },
  { path: 'targets', title: 'Targets', question: 'What is scraped, and does it answer?', group: 'tier' },
  { path: 'config', title: 'Config', question: 'Which configuration is in effect?', group: 'tier' },
  { path: 'flags', title: 'Flags', question: 'How was it started?', group: 'tier' },
  { path: 'status', title: 'Status', question: 'What is it, and what does it hold?', group: 'tier' },
]

/** Paths of Prometheus that open a page here, so that links to it keep their meaning. */
export const aliases: Record<string, string> = { graph: 'query', 'tsdb-status': 'status' }

export function pageOf(path: string): PageInfo {
  const page = pages.find((p) => p.path === path)
  if (!page) throw new Error(`no page ${path}`)
  return page
}
