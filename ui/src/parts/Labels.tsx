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

/** A label set, its names dimmed so that values are read first. */
export function Labels({ labels }: { labels: Record<string, string> }) {
  const { __name__: name, ...rest } = labels
  const pairs = Object.entries(rest)
  // A name of other than the usual letters stands in the braces, as one has to write it.
  const quoted = name !== undefined && name !== '' && !plainName.test(name)
  return (
    <code style={{ background: 'none', padding: 0, fontSize: 'inherit', overflowWrap: 'anywhere' }}>
      {name !== undefined && !quoted && <b>{name}</b>}
      {(pairs.length > 0 || name === undefined || quoted) && (
        <>
          {'{'}
          {quoted && <b>{JSON.stringify(name)}</b>}
          {quoted && pairs.length > 0 && ', '}
          {pairs.map(([k, v], i) => (
            <span key={k}>
              {i > 0 && ', '}
              <span style={{ color: 'var(--mantine-color-dimmed)' }}>{labelName(k)}=</span>
              {JSON.stringify(v)}
            </span>
          ))}
          {'}'}
        </>
      )}
    </code>
  )
}
