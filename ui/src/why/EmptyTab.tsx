import { Anchor, Code, Group, Paper, Progress, Text } from '@mantine/core'
import { useEffect, useState } from 'react'
import { Link } from 'react-router'
import { whole } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { ask, type Params } from '../api/client.ts'
import { optionParams } from '../api/options.ts'
import { asker } from './asker.ts'
import classes from './Funnel.module.css'
import { conclusion, mostValues, noSeries, runFunnel, type Funnel } from './funnel.ts'
import { stateOf, whyAddress, type Asked } from './params.ts'
import { matcherText, selectorsOf, selectorText, type Matcher, type Parsed } from './selectors.ts'

type Line = Funnel | { selector: Funnel['selector']; error: unknown }

interface Found {
  selectors: number
  lines: Line[]
  done: boolean
  error?: unknown
}

/** Counts each selector matcher by matcher, one selector after the other; each is shown as soon as it is known. */
function useFunnels(asked: Asked, round: number): Found {
  const [found, setFound] = useState<Found>({ selectors: 0, lines: [], done: false })
  const { expr, start, end, options } = asked
  const how = JSON.stringify(optionParams(options))
  useEffect(() => {
    const stop = new AbortController()
    const show = (f: Found) => !stop.signal.aborted && setFound(f)
    const run = async () => {
      show({ selectors: 0, lines: [], done: false })
      const parsed = await ask<Parsed>('/api/v1/parse_query', { query: expr }, { signal: stop.signal })
      const selectors = selectorsOf(parsed.data, start * 1000, end * 1000)
      const lines: Line[] = []
      for (const s of selectors) {
        stop.signal.throwIfAborted()
        try {
          const tell = (f: Funnel) => show({ selectors: selectors.length, lines: [...lines, f], done: false })
          lines.push(await runFunnel(s, asker(end, JSON.parse(how) as Params, stop.signal), tell))
        } catch (error) {
          lines.push({ selector: s, error })
        }
        show({ selectors: selectors.length, lines: [...lines], done: false })
      }
      show({ selectors: selectors.length, lines, done: true })
    }
    run().catch((error: unknown) => show({ selectors: 0, lines: [], done: true, error }))
    return () => stop.abort()
  }, [expr, start, end, how, round])
  return found
}

/** Which matcher of which selector leaves nothing. */
export function EmptyTab({ asked }: { asked: Asked }) {
  const [round, setRound] = useState(0)
  const found = useFunnels(asked, round)
  const zero = found.lines.some((l) => !('error' in l) && l.steps.at(-1)?.series === 0)
  if (found.error !== undefined)
    return <Failure what="The selectors cannot be counted" error={found.error} retry={() => setRound(round + 1)} />
  return (
    <>
      <Text size="sm" c="dimmed" mb="sm">
        For each selector its matchers are added one after the other, and the series that are left are counted over all
        the time that the query reads.
      </Text>
      {!found.done && (
        <Loading
          what={`counting selector ${Math.min(found.lines.length + 1, found.selectors || 1)} of ${found.selectors || '…'}`}
          {...(found.selectors ? { done: found.lines.length / found.selectors } : {})}
        />
      )}
      {found.lines.map((l) =>
        'error' in l ? (
          <Failure
            key={l.selector.text}
            what={`${l.selector.text} cannot be counted`}
            error={l.error}
            retry={() => setRound(round + 1)}
          />
        ) : (
          <OneFunnel key={l.selector.text} f={l} asked={asked} />
        ),
      )}
      {found.done && found.selectors === 0 && <Text size="sm">The expression selects no series.</Text>}
      {found.done && found.selectors > 0 && !zero && (
        <Text size="sm" mt="sm">
          Every selector has series. If the answer is empty all the same, it is by what is done with them: a comparison
          that nothing passes, two sides of an operator whose labels do not match (see <code>on</code> and{' '}
          <code>ignoring</code>), <code>rate</code> over fewer than two samples, or series that lie at other times than
          those asked for.
        </Text>
      )}
    </>
  )
}

function OneFunnel({ f, asked }: { f: Funnel; asked: Asked }) {
  const most = Math.max(1, ...f.steps.map((s) => s.series))
  const c = conclusion(f)
  return (
    <Paper withBorder p="sm" mb="sm" component="section" aria-label={f.selector.text}>
      <Code style={{ overflowWrap: 'anywhere', whiteSpace: 'normal' }}>{f.selector.text}</Code>
      <div className={classes.grid} role="table" aria-label={`Matchers of ${f.selector.text}`}>
        <div className={classes.line} role="row">
          <span className={classes.head} role="columnheader">
            matcher
          </span>
          <span className={classes.head} role="columnheader">
            left
          </span>
          <span className={`${classes.head} ${classes.number}`} role="columnheader">
            series
          </span>
          <span className={`${classes.head} ${classes.number}`} role="columnheader">
            clusters
          </span>
        </div>
        {f.steps.map((s, i) => (
          <div className={classes.line} role="row" key={i}>
            <span role="rowheader" className={classes.matcher}>
              {i > 0 && <span className={classes.and}>and </span>}
              {matcherText(s.matcher)}
            </span>
            <span role="cell">
              {/* Shares of thousands would not be seen. */}
              <Progress
                value={s.series ? Math.max(1.5, (s.series / most) * 100) : 0}
                size="md"
                radius={2}
                aria-label={`${s.series} series`}
              />
            </span>
            <span role="cell" className={classes.number}>
              {s.series === 0 ? <Health level="bad">0</Health> : whole(s.series)}
            </span>
            <span role="cell" className={classes.number}>
              {whole(s.clusters)}
            </span>
          </div>
        ))}
        {f.steps.at(-1)?.series === 0 &&
          f.untried.map((m, i) => (
            <div className={classes.line} role="row" key={`untried ${i}`}>
              <span role="rowheader" className={`${classes.matcher} ${classes.untried}`}>
                <span className={classes.and}>and </span>
                {matcherText(m)}
              </span>
              <span role="cell" className={classes.rest}>
                not tried: nothing is left
              </span>
            </div>
          ))}
      </div>
      <Text component="div" size="sm" mt="xs">
        <Health level={c.level}>{c.text}</Health>
      </Text>
      {f.near && <NearValues f={f} asked={asked} />}
    </Paper>
  )
}

/** What could be meant by the matcher that leaves nothing. */
export function NearValues({ f, asked }: { f: Funnel; asked: Asked }) {
  const n = f.near
  const bad = f.steps.at(-1)?.matcher
  const before = f.selector.matchers.slice(0, f.steps.length - 1)
  const why = stateOf(asked)
  if (!n || !bad) return null
  const put = (value: string): Matcher[] => f.selector.matchers.map((m) => (m === bad ? { ...m, type: '=', value } : m))
  const of = n.of >= mostValues ? `${whole(n.of)} or more` : whole(n.of)
  return (
    <div className={classes.near}>
      {n.values.length > 0 && (
        <Text component="div" size="sm">
          {n.of > n.values.length
            ? `Of ${of} values of ${bad.name} there are these, the likest first: `
            : `Values of ${bad.name} that exist: `}
          <Group gap={6} mt={4}>
            {n.values.map((v) => (
              <Anchor
                key={v}
                component={Link}
                size="sm"
                to={whyAddress({ ...why, expr: selectorText(put(v)), tab: 'empty' })}
                title={selectorText(put(v))}
              >
                <code>{JSON.stringify(v)}</code>
              </Anchor>
            ))}
          </Group>
        </Text>
      )}
      {n.values.length === 0 && n.of > 0 && (
        <Text size="sm">
          There are {of} values of {bad.name}
          {n.missing.length > 0 ? ' at those who answered' : ''}, none like it.
        </Text>
      )}
      {n.of === 0 && before.length > 0 && (
        <Text size="sm">
          {noSeries(n)} of <code>{selectorText(before)}</code> has a label {bad.name}
          {n.labels?.length ? `; labels with such a name are ${n.labels.join(', ')}` : ''}.
        </Text>
      )}
      {n.alone !== undefined && (
        <Text size="sm" mt={4}>
          {n.alone ? 'Other series do have ' : `${noSeries(n)}${n.missing.length > 0 ? '' : ' at all'} has `}
          <code>{matcherText(bad)}</code>
          {!n.alone
            ? '.'
            : n.missing.length > 0
              ? ', but of those who answered none together with the matchers before it.'
              : ', but none together with the matchers before it.'}
        </Text>
      )}
      {n.missing.length > 0 && (
        <Text size="sm" mt={4}>
          Not known without {n.missing.join('; ')}: what was not found may be there.
        </Text>
      )}
      {n.earlier && (
        <Text size="sm" mt={4}>
          The whole selector did select series within the day before: what made them may have stopped, or moved.
        </Text>
      )}
    </div>
  )
}
