import type { ReactNode } from 'react'

export type Level = 'good' | 'warn' | 'bad' | 'off'

/** Colours of levels, told apart by the colour-blind too; a text always stands beside them. */
export const levelColor: Record<Level, string> = {
  good: 'var(--mantine-color-teal-6)',
  warn: 'var(--mantine-color-orange-6)',
  bad: 'var(--mantine-color-red-7)',
  off: 'var(--mantine-color-gray-5)',
}

const shapes: Record<Level, ReactNode> = {
  good: <circle cx="5" cy="5" r="4" />,
  warn: <path d="M5 0.5 9.5 9h-9z" />,
  bad: <rect x="1" y="1" width="8" height="8" />,
  off: <circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" strokeWidth="1.6" />,
}

/** A level as colour and shape, with its text. Of plain elements, since tables have thousands. */
export function Health({ level, children }: { level: Level; children: ReactNode }) {
  return (
    <span style={{ display: 'inline-flex', alignItems: 'center', gap: 6, minWidth: 0 }}>
      <svg
        width="10"
        height="10"
        viewBox="0 0 10 10"
        aria-hidden="true"
        style={{ color: levelColor[level], fill: 'currentColor', flex: 'none' }}
      >
        {shapes[level]}
      </svg>
      <span style={{ fontSize: 'var(--mantine-font-size-sm)', lineHeight: 'var(--mantine-line-height-sm)' }}>
        {children}
      </span>
    </span>
  )
}
