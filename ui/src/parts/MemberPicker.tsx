import { Select } from '@mantine/core'
import { useMemo } from 'react'
import { useTree, walk } from '../api/tree.ts'

/** Chooses a member of the tree by name; '' is the tier that serves the console. */
export function MemberPicker({
  value,
  onChange,
  tiers,
  label,
}: {
  value: string
  onChange: (name: string) => void
  tiers?: string[]
  label?: string
}) {
  const { data: tree } = useTree()
  const options = useMemo(() => {
    if (!tree) return []
    const list = [{ value: '', label: `this ${tree.self.tier}` }]
    walk(tree.children, (n) => {
      if (!tiers || tiers.includes(n.tier))
        list.push({ value: n.name, label: n.state === 'missing' ? `${n.name} (missing)` : n.name })
    })
    // What the address names is shown, also if the tree does not have it.
    if (!list.some((o) => o.value === value)) list.push({ value, label: `${value} (not known here)` })
    return list
  }, [tree, tiers, value])
  return (
    <Select
      aria-label={label ?? 'Member of the tree'}
      size="xs"
      w={260}
      data={options}
      value={value}
      onChange={(v) => onChange(v ?? '')}
      searchable
      limit={100}
      allowDeselect={false}
      nothingFoundMessage="no member of that name"
    />
  )
}
