import type { ReactNode } from 'react'
import classes from './Query.module.css'

/** What is told beside the pointer, on the side that has room. */
export function Tip({ left, top, width, children }: { left: number; top: number; width: number; children: ReactNode }) {
  if (!children) return null
  const side = left > width / 2 ? { right: width - left + 12 } : { left: left + 12 }
  return (
    <div className={classes.tip} style={{ ...side, top: Math.max(0, top - 12) }}>
      {children}
    </div>
  )
}
