import { vi } from 'vitest'

// What Mantine asks of a browser, and jsdom does not have.
window.matchMedia = vi.fn().mockImplementation((query: string) => ({
  matches: false,
  media: query,
  addEventListener: () => {},
  removeEventListener: () => {},
}))
window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
}
