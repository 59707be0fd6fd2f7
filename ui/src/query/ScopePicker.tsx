import { Group, MultiSelect } from '@mantine/core'
import { useMemo } from 'react'
import { useTree } from '../api/tree.ts'
import { choices } from './scopechoices.ts'
import type { Scope } from './urlstate.ts'

/** Restricts all panels to zones and clusters, by the identity labels of the tree. */
export function ScopePicker({ scope, onChange }: { scope: Scope; onChange: (scope: Scope) => void }) {
  const { data: tree } = useTree()
  const list = useMemo(() => choices(tree, scope), [tree, scope])
  return (
    <Group gap="xs" role="group" aria-label="Scope">
      {list.map(({ name, values }) => (
        <MultiSelect
          key={name}
          size="xs"
          miw={130}
          maw={300}
          aria-label={`Scope: ${name}`}
          placeholder={(scope[name] ?? []).length === 0 ? `any ${name}` : ''}
          data={values}
          value={scope[name] ?? []}
          onChange={(v) => onChange({ ...scope, [name]: v })}
          searchable
          clearable
          limit={100}
          nothingFoundMessage={`no ${name} of that name`}
          clearButtonProps={{ 'aria-label': `Any ${name}` }}
        />
      ))}
    </Group>
  )
}
