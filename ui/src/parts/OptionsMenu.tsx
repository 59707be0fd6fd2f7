import { Button, Checkbox, Popover, Stack, Text, TextInput } from '@mantine/core'
import { IconAdjustments } from '@tabler/icons-react'
import { useEffect, useState } from 'react'
import { parseDuration } from '../format/times.ts'
import { defaultOptions, optionParams, type Options } from '../api/options.ts'

const switches: { key: Exclude<keyof Options, 'timeout'>; label: string; hint: string }[] = [
  {
    key: 'strict',
    label: 'Refuse partial answers',
    hint: 'An error instead of an answer from which a child is missing',
  },
  { key: 'hints', label: 'Field hints', hint: 'Skip children that cannot hold a matching series' },
  { key: 'pushdown', label: 'Push-down', hint: 'Have children evaluate what they can' },
  { key: 'rollup', label: 'Rollups', hint: 'Answer from rollups where they have all that is asked' },
  { key: 'cache', label: 'Cache', hint: 'Take steps from the result cache' },
  { key: 'align', label: 'Align', hint: 'Move the times of ranges to where rollups have points' },
]

/** How a page asks. None of it but align changes an answer that is whole. */
export function OptionsMenu({ options, onChange }: { options: Options; onChange: (o: Options) => void }) {
  const [timeout, setTimeout] = useState(options.timeout)
  useEffect(() => setTimeout(options.timeout), [options.timeout])
  const changed = Object.keys(optionParams(options)).length
  const bad = timeout !== '' && !parseDuration(timeout)
  return (
    <Popover width={290} position="bottom-end" withArrow>
      <Popover.Target>
        <Button size="xs" variant="default" leftSection={<IconAdjustments size={14} />}>
          Options{changed > 0 && ` (${changed} changed)`}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          {switches.map((s) => (
            <Checkbox
              key={s.key}
              size="xs"
              label={s.label}
              description={s.hint}
              checked={options[s.key]}
              onChange={(e) => onChange({ ...options, [s.key]: e.currentTarget.checked })}
            />
          ))}
          <TextInput
            size="xs"
            label="Timeout"
            description="Such as 30s; nothing for the tier's own"
            value={timeout}
            error={bad && 'A duration, such as 30s'}
            onChange={(e) => setTimeout(e.currentTarget.value)}
            onBlur={() => !bad && timeout !== options.timeout && onChange({ ...options, timeout })}
            onKeyDown={(e) => e.key === 'Enter' && !bad && onChange({ ...options, timeout })}
          />
          {changed > 0 && (
            <Button size="compact-xs" variant="subtle" onClick={() => onChange(defaultOptions)}>
              As usual
            </Button>
          )}
          <Text size="xs" c="dimmed">
            Options are part of the address.
          </Text>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  )
}
