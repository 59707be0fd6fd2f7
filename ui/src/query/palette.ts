// Okabe and Ito's colours, which are told apart with any colour vision, in the
// order in which neighbours differ most; darkened or lightened until each has a
// contrast of 3 to 1 at least to the background of its scheme.
const light = ['#0072b2', '#c14f00', '#007a5a', '#a8447d', '#2b7fb0', '#8f6400', '#5b4bb5', '#57606a']
const dark = ['#56b4e9', '#e69f00', '#1fc195', '#e08fbb', '#f0e442', '#ff8a5c', '#a9a0f5', '#adb5bd']

// Beyond the colours, lines differ by their dashes.
const dashes: number[][] = [[], [8, 4], [2, 3], [10, 3, 2, 3]]

export type Scheme = 'light' | 'dark'

/** The colours of a scheme. */
export function colors(scheme: Scheme): string[] {
  return scheme === 'dark' ? dark : light
}

/** How the i-th series is drawn. Colour and dashes together repeat after 32 series. */
export function strokeOf(i: number, scheme: Scheme): { color: string; dash: number[] } {
  const list = colors(scheme)
  return { color: list[i % list.length] ?? '#888', dash: dashes[Math.floor(i / list.length) % dashes.length] ?? [] }
}

// Steps of cividis, which looks the same to most colour-blind people. Few is what
// the background is closest to, so that much stands out.
const cividis: [number, number, number][] = [
  [0, 32, 77],
  [49, 68, 107],
  [102, 105, 112],
  [149, 143, 120],
  [203, 186, 105],
  [255, 233, 69],
]

/** The colour of a share between 0 (few) and 1 (most) in a heatmap. */
export function heat(share: number, scheme: Scheme): string {
  const s = Math.min(1, Math.max(0, share))
  const x = (scheme === 'dark' ? s : 1 - s) * (cividis.length - 1)
  const i = Math.min(Math.floor(x), cividis.length - 2)
  const a = cividis[i] ?? [0, 0, 0]
  const b = cividis[i + 1] ?? a
  const mix = (k: 0 | 1 | 2) => Math.round(a[k] + (b[k] - a[k]) * (x - i))
  return `rgb(${mix(0)} ${mix(1)} ${mix(2)})`
}

/** The contrast of two colours, written as #rrggbb, as WCAG defines it: 1 to 21. */
export function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)]
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05)
}

function luminance(color: string): number {
  const part = (from: number) => {
    const c = parseInt(color.slice(from, from + 2), 16) / 255
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  }
  return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}
