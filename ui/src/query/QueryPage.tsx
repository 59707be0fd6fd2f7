import { Button } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { useLocation, useNavigate } from 'react-router'
import { Page } from '../parts/Page.tsx'
import { Completions } from './completion.ts'
import { OptionsMenu } from '../parts/OptionsMenu.tsx'
import { QueryPanel } from './QueryPanel.tsx'
import { ScopePicker } from './ScopePicker.tsx'
import { matcherText } from './scopetext.ts'
import { decode, encode, maxPanels, newPanel, type PageState, type PanelState } from './urlstate.ts'

/** Asks queries: several panels, all of whose state is in the address. */
export default function QueryPage() {
  const { search } = useLocation()
  const navigate = useNavigate()
  const state = useMemo(() => decode(search), [search])
  const completions = useMemo(() => new Completions(), [])
  useEffect(() => () => completions.destroy(), [completions])
  completions.scope = matcherText(state.scope)
  const ids = useIds(state.panels.length)

  // The address is drawn later than it changes: a field that is left by pressing a button makes two changes, and the
  // second one must not undo the first.
  const latest = useRef(state)
  useEffect(() => {
    latest.current = state
  }, [state])
  const go = (change: Partial<PageState>) => {
    latest.current = { ...latest.current, ...change }
    return navigate({ search: encode(latest.current) })
  }
  const put = (i: number, change: Partial<PanelState>) =>
    void go({ panels: latest.current.panels.map((p, k) => (k === i ? { ...p, ...change } : p)) })
  const add = (after: number, panel: PanelState) => {
    ids.insert(after + 1)
    void go({ panels: latest.current.panels.toSpliced(after + 1, 0, panel) })
  }
  const full = state.panels.length >= maxPanels
  return (
    <Page
      path="query"
      actions={
        <>
          <ScopePicker scope={state.scope} onChange={(scope) => void go({ scope })} />
          <OptionsMenu options={state.options} onChange={(options) => void go({ options })} />
        </>
      }
    >
      {state.panels.map((p, i) => (
        <QueryPanel
          key={ids.list[i]}
          panel={p}
          number={i + 1}
          options={state.options}
          scope={state.scope}
          completions={completions}
          onChange={(change) => put(i, change)}
          onAdd={(expr) => !full && add(i, { ...p, expr })}
          onRemove={
            state.panels.length > 1
              ? () => {
                  ids.remove(i)
                  void go({ panels: latest.current.panels.toSpliced(i, 1) })
                }
              : undefined
          }
        />
      ))}
      <Button
        variant="default"
        size="xs"
        leftSection={<IconPlus size={14} />}
        onClick={() => add(state.panels.length - 1, newPanel())}
        disabled={full}
      >
        Add a panel
      </Button>
    </Page>
  )
}

/** Ids of panels, so that what a panel has beside its address stays with it when others come and go. */
function useIds(n: number): { list: number[]; insert: (at: number) => void; remove: (at: number) => void } {
  // A change of the address is drawn later: until it has as many panels, the list stays as it was.
  const [ids] = useState(() => ({ list: [] as number[], next: 0, soon: undefined as number[] | undefined }))
  if (ids.soon?.length === n) {
    ids.list = ids.soon
    ids.soon = undefined
  }
  while (ids.list.length < n) ids.list.push(ids.next++)
  if (ids.list.length > n) ids.list = ids.list.slice(0, n)
  return {
    list: ids.list,
    insert: (at) => void (ids.soon = ids.list.toSpliced(at, 0, ids.next++)),
    remove: (at) => void (ids.soon = ids.list.toSpliced(at, 1)),
  }
}
