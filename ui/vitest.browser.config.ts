import { defineConfig } from 'vitest/config'

// Tests in a real browser against a real planet: test/planet.ts starts it.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/planet.ts'],
    // One browser at a time: pages are measured and looked at, and machines are small.
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
})
