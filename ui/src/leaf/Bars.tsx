import { Text } from '@mantine/core'
import { whole } from '../format/numbers.ts'

/** The largest of something, each with a bar as long as its number. */
export function Bars({
  title,
  rows,
  format = whole,
}: {
  title: string
  rows: { name: string; value: number }[]
  format?: (n: number) => string
}) {
  const most = Math.max(1, ...rows.map((r) => r.value))
  return (
    <div style={{ minWidth: 0 }}>
      <Text size="xs" fw={600} mb={2}>
        {title}
      </Text>
      <table
        style={{
          width: '100%',
          borderCollapse: 'collapse',
          fontSize: 'var(--mantine-font-size-xs)',
          tableLayout: 'fixed',
        }}
        aria-label={title}
      >
        <tbody>
          {rows.map((r) => (
            <tr key={r.name}>
              <th
                scope="row"
                title={r.name}
                style={{
                  fontWeight: 400,
                  textAlign: 'left',
                  padding: '2px 6px',
                  whiteSpace: 'nowrap',
                  overflow: 'hidden',
                  textOverflow: 'ellipsis',
                  background: `linear-gradient(to right, light-dark(#cfe8f3, #1d4252) ${(100 * r.value) / most}%, transparent 0)`,
                }}
              >
                {r.name}
              </th>
              <td style={{ width: 84, textAlign: 'right', fontVariantNumeric: 'tabular-nums' }}>{format(r.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
