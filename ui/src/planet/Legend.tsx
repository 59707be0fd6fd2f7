import { Group, Text, useComputedColorScheme } from '@mantine/core'
import { whole } from '../format/numbers.ts'
import type { Look } from './look.ts'
import { grounds } from './paint.ts'
import classes from './planet.module.css'
import { Mark } from './SvgMap.tsx'

/** The classes of leaves with their numbers; one that is pressed fades the others. */
export function Legend({
  look,
  only,
  onOnly,
  widthTitle,
  shapes,
}: {
  look: Look
  only: string
  onOnly: (id: string) => void
  widthTitle: string
  shapes: { replicas: boolean; shards: boolean }
}) {
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const ground = grounds[scheme]
  return (
    <Group gap={6} role="group" aria-label="Legend">
      {look.classes.map((c, i) => {
        const n = look.counts[i] ?? 0
        // What nobody is need not take room, but that nobody is missing is good to know.
        if (n === 0 && !c.alarming && c.id !== only) return null
        return (
          <button
            key={c.id}
            type="button"
            className={classes.swatch}
            aria-pressed={only === c.id}
            title={c.means}
            onClick={() => onOnly(only === c.id ? '' : c.id)}
          >
            <svg width="12" height="12" aria-hidden="true">
              <rect width="12" height="12" rx="1" fill={c.color[ground.dark ? 1 : 0]} />
              <Mark mark={c.mark} w={12} h={12} ground={ground} />
            </svg>
            {c.title} {whole(n)}
          </button>
        )
      })}
      <Text size="xs" c="dimmed" span>
        {shapes.replicas && '● replica '}
        {shapes.shards && '◣ shard '}
        {look.widest > 0 && `line width: ${widthTitle}`}
      </Text>
    </Group>
  )
}
