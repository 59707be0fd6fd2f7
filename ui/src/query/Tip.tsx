import { CloseButton } from '@mantine/core'
import type { ReactNode } from 'react'
import classes from './Query.module.css'

interface Props {
  left: number
  top: number
  width: number
  /** Set for one that stays until it is closed: what it says can be selected and copied. */
  onClose?: () => void
  children: ReactNode
}

/** What is told beside the pointer, on the side that has room. */
export function Tip({ left, top, width, onClose, children }: Props) {
  if (!children) return null
  const side = left > width / 2 ? { right: width - left + 12 } : { left: left + 12 }
  const place = { ...side, top: Math.max(0, top - 12) }
  if (!onClose)
    return (
      <div className={classes.tip} style={place}>
        {children}
      </div>
    )
  return (
    <div className={`${classes.tip} ${classes.pinned}`} style={place} role="status">
      <CloseButton size="xs" aria-label="Close" onClick={onClose} className={classes.close} />
      {children}
    </div>
  )
}
