import { MantineProvider } from '@mantine/core'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { Tip } from './Tip.tsx'

afterEach(cleanup)

it('a tip that is pinned can be closed; one under the pointer has nothing to press', () => {
  const close = vi.fn()
  const tip = (onClose?: () => void) => (
    <MantineProvider>
      <Tip left={10} top={10} width={400} {...(onClose && { onClose })}>
        trace_id: abc
      </Tip>
    </MantineProvider>
  )
  const { rerender } = render(tip())
  expect(screen.queryByRole('button')).toBeNull()
  rerender(tip(close))
  fireEvent.click(screen.getByRole('button', { name: 'Close' }))
  expect(close).toHaveBeenCalledOnce()
}, 30_000)
