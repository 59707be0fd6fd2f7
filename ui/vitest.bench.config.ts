import { defineConfig } from 'vitest/config'

// Measurements in a real browser, of a production build over a simulated planet. They print figures and are no tests.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/bench/*.bench.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    disableConsoleIntercept: true,
  },
})
