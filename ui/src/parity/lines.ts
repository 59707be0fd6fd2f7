/** A line of a YAML document, with its number from 1. */
export interface Line {
  number: number
  text: string
}

/** The lines that contain a text, each with the lines above that it belongs to by its indentation; all lines for ''. */
export function matching(yaml: string, text: string): Line[] {
  const lines = yaml
    .replace(/\n$/, '')
    .split('\n')
    .map((t, i) => ({ number: i + 1, text: t }))
  const wanted = text.trim().toLowerCase()
  if (wanted === '') return lines
  const keep = new Set<number>()
  const above: { indent: number; index: number }[] = []
  lines.forEach((l, index) => {
    if (l.text.trim() === '') return
    const indent = indentation(l.text)
    while (above.length > 0 && (above.at(-1)?.indent ?? 0) >= indent) above.pop()
    if (l.text.toLowerCase().includes(wanted)) {
      for (const a of above) keep.add(a.index)
      keep.add(index)
    }
    above.push({ indent, index })
  })
  return lines.filter((_, i) => keep.has(i))
}

// The dashes of a list belong to the key above, though they may stand below its first letter.
function indentation(line: string): number {
  const spaces = line.length - line.trimStart().length
  return line.trimStart().startsWith('- ') ? 2 * spaces + 1 : 2 * spaces
}
