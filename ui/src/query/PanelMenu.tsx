import { ActionIcon, Menu } from '@mantine/core'
import { IconAlignLeft, IconCopy, IconDotsVertical, IconHistory, IconListSearch, IconTrash } from '@tabler/icons-react'
import { lazy, Suspense, useState } from 'react'
import { PastQueries } from './PastQueries.tsx'
import { matcherText } from './scopetext.ts'
import type { Scope } from './urlstate.ts'

const Explorer = lazy(() => import('./Explorer.tsx'))

interface Props {
  expr: string
  scope: Scope
  onInsert: (text: string) => void
  onReplace: (expr: string) => void
  onFormat: () => void
  onDuplicate: () => void
  onRemove: (() => void) | undefined
}

/** What else can be done with a panel. */
export function PanelMenu({ expr, scope, onInsert, onReplace, onFormat, onDuplicate, onRemove }: Props) {
  const [open, setOpen] = useState<'metrics' | 'history' | undefined>()
  const close = () => setOpen(undefined)
  return (
    <>
      <ActionIcon variant="default" size={36} aria-label="Metrics" title="Metrics" onClick={() => setOpen('metrics')}>
        <IconListSearch size={18} />
      </ActionIcon>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label="More of this panel">
            <IconDotsVertical size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconListSearch size={16} />} onClick={() => setOpen('metrics')}>
            Metrics
          </Menu.Item>
          <Menu.Item leftSection={<IconHistory size={16} />} onClick={() => setOpen('history')}>
            History
          </Menu.Item>
          <Menu.Item leftSection={<IconAlignLeft size={16} />} onClick={onFormat} disabled={expr.trim() === ''}>
            Format
          </Menu.Item>
          <Menu.Item leftSection={<IconCopy size={16} />} onClick={onDuplicate}>
            Duplicate
          </Menu.Item>
          {onRemove && (
            <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={onRemove}>
              Remove
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <PastQueries opened={open === 'history'} onClose={close} onPick={onReplace} />
      {open === 'metrics' && (
        <Suspense>
          <Explorer opened onClose={close} onInsert={onInsert} scope={matcherText(scope)} />
        </Suspense>
      )}
    </>
  )
}
