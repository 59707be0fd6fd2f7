import { useSettings } from '../app/settings.tsx'
import { duration } from '../format/numbers.ts'
import { age, clock, dateTime, zoneName, type Time } from '../format/times.ts'

/** A point in time in the zone that the person chose; short shows the time of day alone, ago how long it is past. */
export function When({ t, short, ago }: { t: Time | undefined; short?: boolean; ago?: boolean }) {
  const { zone } = useSettings()
  const full = dateTime(t, zone)
  const shown = ago ? duration(age(t)) : short ? clock(t, zone) : full
  const iso = t === undefined || full === '–' ? undefined : new Date(t).toISOString()
  return (
    <time
      dateTime={iso}
      title={`${full} ${zoneName(zone)}`}
      style={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}
    >
      {shown}
    </time>
  )
}
