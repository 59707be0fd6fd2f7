import { duration } from '../format/numbers.ts'
import { dateTime } from '../format/times.ts'
import { useSettings } from '../app/settings.tsx'
import type { Part } from './strip.ts'

const colors: Record<Part['state'], string> = {
  whole: 'var(--mantine-color-teal-6)',
  partial: 'var(--mantine-color-orange-6)',
  unfit: 'var(--mantine-color-grape-6)',
  absent: 'var(--mantine-color-red-7)',
  untold: 'url(#untold)',
  due: 'url(#waiting)',
  none: 'transparent',
}

/** What the states of points mean. */
export const meaning: Record<Part['state'], string> = {
  whole: 'whole: used by queries',
  partial: 'incomplete: somebody was away for longer than the hold; used only where partial answers are allowed',
  unfit: 'not usable: the expression could not be evaluated exactly',
  absent: 'absent: owed, and not there yet',
  untold: 'not told: there are too many holes, and the tier tells the oldest ones',
  due: 'not due yet',
  none: 'not kept',
}

/** A strip of coverage, left is the oldest. */
export function Strip({ parts, label }: { parts: Part[]; label: string }) {
  const { zone } = useSettings()
  const holes = parts.filter((p) => p.state === 'absent' || p.state === 'partial' || p.state === 'unfit')
  const told = holes.map((p) => `${p.state} for ${duration(p.end - p.start)}`)
  if (parts.some((p) => p.state === 'untold')) told.push('more that are not told')
  const summary = told.length === 0 ? 'no holes' : told.join(', ')
  return (
    <svg
      width="100%"
      height="16"
      viewBox="0 0 1000 16"
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}: ${summary}`}
      style={{ display: 'block', background: 'var(--mantine-color-default-hover)' }}
    >
      {parts.map((p) => {
        const full = p.state === 'whole' || p.state === 'due' || p.state === 'untold'
        return (
          // Holes are taller too: a thin one must be seen, by everybody.
          <rect
            key={p.state + p.start}
            x={p.from * 1000}
            width={Math.max((p.to - p.from) * 1000, full ? 0 : 3)}
            y={full ? 4 : 0}
            height={full ? 8 : 16}
            fill={colors[p.state]}
          >
            <title>{`${dateTime(p.start * 1000, zone)} – ${dateTime(p.end * 1000, zone)}: ${meaning[p.state]}${p.missing.length ? `; missing: ${p.missing.join(', ')}` : ''}`}</title>
          </rect>
        )
      })}
    </svg>
  )
}

/** The patterns of what is not due and of what is not told, once on a page. */
export function StripPattern() {
  return (
    <svg width="0" height="0" style={{ position: 'absolute' }} aria-hidden="true">
      <defs>
        <pattern id="waiting" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="3" height="8" fill="var(--mantine-color-gray-5)" />
        </pattern>
        <pattern id="untold" width="6" height="6" patternUnits="userSpaceOnUse">
          <circle cx="3" cy="3" r="1.6" fill="var(--mantine-color-orange-6)" />
        </pattern>
      </defs>
    </svg>
  )
}

/** Which colour means what; untold: a strip on the page has parts that are not told. */
export function StripLegend({ untold }: { untold: boolean }) {
  return (
    <ul
      style={{
        display: 'flex',
        flexWrap: 'wrap',
        gap: '4px 16px',
        padding: 0,
        margin: '0 0 12px',
        listStyle: 'none',
        fontSize: 'var(--mantine-font-size-xs)',
      }}
    >
      {(['whole', 'partial', 'unfit', 'absent', ...(untold ? (['untold'] as const) : []), 'due'] as const).map((s) => (
        <li key={s} title={meaning[s]} style={{ display: 'flex', alignItems: 'center', gap: 6 }}>
          <svg width="18" height="10" aria-hidden="true">
            <rect width="18" height="10" fill={colors[s]} />
          </svg>
          {s === 'due' ? 'not due yet' : s === 'untold' ? 'not told' : s}
        </li>
      ))}
    </ul>
  )
}
