import type { ReactNode } from 'react'
import classes from './Health.module.css'

export type Level = 'good' | 'warn' | 'bad' | 'off'

/** Colours of levels; Health.module.css has them, and the shapes by which the colour-blind tell levels apart. */
export const levelColor: Record<Level, string> = {
  good: 'var(--level-good)',
  warn: 'var(--level-warn)',
  bad: 'var(--level-bad)',
  off: 'var(--level-off)',
}

/** A level as colour and shape, with its text. Of two plain elements, since tables have thousands. */
export function Health({ level, children }: { level: Level; children: ReactNode }) {
  return (
    <span className={classes[level]}>
      <span className={classes.text}>{children}</span>
    </span>
  )
}
