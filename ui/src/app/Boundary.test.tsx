import { MantineProvider } from '@mantine/core'
import { cleanup, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { Boundary } from './Boundary.tsx'

afterEach(cleanup)

function Broken(): never {
  throw new Error('a list that is null')
}

const shown = (page: string, broken: boolean) => (
  <MantineProvider>
    <Boundary page={page}>{broken ? <Broken /> : <p>another page</p>}</Boundary>
  </MantineProvider>
)

it('an error of one page does not stay when another is opened', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const { rerender } = render(shown('/query', true))
  expect(screen.getByRole('alert').textContent).toContain('a list that is null')
  rerender(shown('/planet', false))
  expect(screen.getByText('another page')).toBeTruthy()
  vi.restoreAllMocks()
  // The first drawing in a process loads a lot; on a busy machine that takes its time.
}, 30_000)
