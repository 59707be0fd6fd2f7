import { Fragment } from 'react'
import classes from './Labels.module.css'

const plainName = /^[a-zA-Z_:][\w:]*$/

/** A label set as PromQL writes it, its name before the braces. */
export function labelsText(labels: Record<string, string>): string {
  const { __name__: name = '', ...rest } = labels
  const pairs = Object.entries(rest).map(([k, v]) => `${labelName(k)}=${JSON.stringify(v)}`)
  if (name !== '' && !plainName.test(name)) return `{${[JSON.stringify(name), ...pairs].join(', ')}}`
  return pairs.length || name === '' ? `${name}{${pairs.join(', ')}}` : name
}

/** A label's name as PromQL writes it: quoted where it has other than the usual letters. */
export function labelName(name: string): string {
  return /^[a-zA-Z_]\w*$/.test(name) ? name : JSON.stringify(name)
}

/** A label set, its names dimmed so that values are read first. Of few elements, since tables have thousands. */
export function Labels({ labels }: { labels: Record<string, string> }) {
  const { __name__: name, ...rest } = labels
  const pairs = Object.entries(rest)
  // A name of other than the usual letters stands in the braces, as one has to write it.
  const quoted = name !== undefined && name !== '' && !plainName.test(name)
  const braces = pairs.length > 0 || name === undefined || quoted
  return (
    <code className={classes.labels}>
      {name !== undefined && !quoted && <b>{name}</b>}
      {braces && '{'}
      {quoted && <b>{JSON.stringify(name)}</b>}
      {quoted && pairs.length > 0 && ', '}
      {pairs.map(([k, v], i) => (
        <Fragment key={k}>
          {i > 0 && ', '}
          <span className={classes.name}>{labelName(k)}=</span>
          {JSON.stringify(v)}
        </Fragment>
      ))}
      {braces && '}'}
    </code>
  )
}
