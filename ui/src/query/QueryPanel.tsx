import { Button, Group, Paper, Tabs, Text } from '@mantine/core'
import { IconPlayerPlay, IconX } from '@tabler/icons-react'
import { useEffect, useRef, useState } from 'react'
import { ApiError, ask } from '../api/client.ts'
import type { Completions } from './completion.ts'
import { EstimateLine } from './Estimate.tsx'
import { Expression } from './Expression.tsx'
import { GraphControls, TimeControl } from './GraphControls.tsx'
import { remember } from './history.ts'
import { PanelMenu } from './PanelMenu.tsx'
import classes from './Query.module.css'
import { request } from './request.ts'
import { Lacking } from './Lacking.tsx'
import { RunView } from './RunView.tsx'
import { TreeView } from './TreeView.tsx'
import { optionParams, type Options } from '../api/options.ts'
import type { PanelState, Scope, Tab } from './urlstate.ts'
import { loadLanguage, useLanguage } from './useLanguage.ts'
import { useRun } from './useRun.ts'

interface Props {
  panel: PanelState
  number: number
  options: Options
  scope: Scope
  completions: Completions
  onChange: (change: Partial<PanelState>) => void
  onAdd: (expr: string) => void
  /** Undefined if it is the only one. */
  onRemove: (() => void) | undefined
}

/** Whether a scope restricts anything. */
export function restricts(scope: Scope): boolean {
  return Object.values(scope).some((v) => v.length > 0)
}

/** One expression with its answer. */
export function QueryPanel({ panel, number, options, scope, completions, onChange, onAdd, onRemove }: Props) {
  const [draft, setDraft] = useState(panel.expr)
  const [times, setTimes] = useState(0)
  const [problem, setProblem] = useState('')
  const insert = useRef<((text: string) => void) | undefined>(undefined)
  const lang = useLanguage()
  useEffect(() => setDraft(panel.expr), [panel.expr])

  const graph = panel.tab === 'graph' && { range: panel.range, resolution: panel.resolution }
  const idle = panel.expr.trim() === '' || panel.tab === 'tree'
  const key = idle ? '' : JSON.stringify([panel.expr, panel.tab, graph, panel.end, options, scope, times])
  const run = useRun(key, async () => request(panel, await scopedExpr(panel.expr, scope), options, Date.now()))

  const submit = (text: string) => {
    if (text.trim() === '') return
    remember(text)
    setProblem('')
    // A new expression is asked because it is new, the same one because it is asked again.
    if (text === panel.expr) setTimes((n) => n + 1)
    else onChange({ expr: text })
  }
  const format = () => {
    ask<string>('/api/v1/format_query', { query: draft }).then(
      (a) => {
        setDraft(a.data)
        setProblem('')
      },
      (e: unknown) => setProblem(`Not formatted: ${e instanceof Error ? e.message : String(e)}`),
    )
  }
  const written = liveScoped(draft, scope, lang)
  const running = run.status === 'running'
  return (
    <Paper withBorder className={classes.panel} component="section" aria-label={`Panel ${number}`}>
      <div className={classes.bar}>
        <Expression
          value={draft}
          onChange={setDraft}
          onRun={submit}
          completions={completions}
          label={`Expression of panel ${number}`}
          insert={insert}
        />
        {running ? (
          <Button color="red" variant="light" leftSection={<IconX size={16} />} onClick={run.cancel} miw={104}>
            Cancel
          </Button>
        ) : (
          <Button
            color="cyan.9"
            leftSection={<IconPlayerPlay size={16} />}
            onClick={() => submit(draft)}
            disabled={draft.trim() === ''}
            miw={104}
          >
            Run
          </Button>
        )}
        <PanelMenu
          expr={draft}
          scope={scope}
          onInsert={(text) => (insert.current ? insert.current(text) : setDraft((d) => d + text))}
          onReplace={setDraft}
          onFormat={format}
          onDuplicate={() => onAdd(draft)}
          onRemove={onRemove}
        />
      </div>
      <Lacking completions={completions} />
      {problem && (
        <Text size="sm" c="red" role="alert">
          {problem}
        </Text>
      )}
      {restricts(scope) && written.text !== '' && (
        <code className={classes.scoped}>
          <span className={classes.dim}>asked with the scope: </span>
          {written.text}
        </code>
      )}
      <EstimateLine panel={panel} expr={written.readable ? written.text : ''} options={options} />
      <Tabs value={panel.tab} onChange={(t) => t && onChange({ tab: t as Tab })} keepMounted={false}>
        <Tabs.List mb="xs">
          <Tabs.Tab value="table">Table</Tabs.Tab>
          <Tabs.Tab value="graph">Graph</Tabs.Tab>
          <Tabs.Tab value="tree">Tree</Tabs.Tab>
        </Tabs.List>
        <Group mb="xs">
          {panel.tab === 'graph' ? (
            <GraphControls panel={panel} onChange={onChange} />
          ) : (
            <TimeControl panel={panel} onChange={onChange} />
          )}
        </Group>
        <Tabs.Panel value="table">
          <RunView run={run} panel={panel} scope={scope} onChange={onChange} onRetry={() => submit(panel.expr)} />
        </Tabs.Panel>
        <Tabs.Panel value="graph">
          <RunView run={run} panel={panel} scope={scope} onChange={onChange} onRetry={() => submit(panel.expr)} />
        </Tabs.Panel>
        <Tabs.Panel value="tree">
          <Parts panel={panel} options={options} scope={scope} onPick={(expr) => onChange({ expr, tab: 'table' })} />
        </Tabs.Panel>
      </Tabs>
    </Paper>
  )
}

function Parts({
  panel,
  options,
  scope,
  onPick,
}: {
  panel: PanelState
  options: Options
  scope: Scope
  onPick: (expr: string) => void
}) {
  const lang = useLanguage()
  const { text } = liveScoped(panel.expr, scope, lang)
  const time = panel.end === null ? undefined : panel.end / 1000
  return (
    <TreeView
      // Another expression is another tree: nobody has asked to count its parts yet.
      key={panel.expr}
      expr={text === '' ? '' : panel.expr}
      params={{ ...optionParams(options), stats: 'all', time }}
      scoped={(part) => lang?.scoped(part, scope) ?? part}
      onPick={onPick}
    />
  )
}

/** The expression as it is sent. Without the grammar a scope cannot be added, and nothing may be asked of more than it. */
async function scopedExpr(expr: string, scope: Scope): Promise<string> {
  if (!restricts(scope)) return expr
  const lang = await loadLanguage()
  try {
    return lang.scoped(expr, scope)
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e)
    throw new ApiError(
      `The scope could not be added to this expression: ${why}. Correct it, or take the scope away.`,
      400,
      'scope',
    )
  }
}

function liveScoped(
  expr: string,
  scope: Scope,
  lang: ReturnType<typeof useLanguage>,
): { text: string; readable: boolean } {
  if (!lang) return { text: restricts(scope) ? '' : expr, readable: false }
  if (!lang.readable(expr)) return { text: restricts(scope) ? '' : expr, readable: false }
  return { text: lang.scoped(expr, scope), readable: true }
}
