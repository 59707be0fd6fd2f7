import type { ReactNode } from 'react'
import classes from './leaf.module.css'

/** What scrolls sideways on narrow screens, by keyboard too. */
export function Sideways({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className={classes.scroll} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  )
}
