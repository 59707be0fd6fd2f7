import { defineConfig } from 'vitest/config'

// Pictures for the docs, of a running planet: PANDO_URL, or one that is started.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/screenshots.ts'],
    globalSetup: ['test/planet.ts'],
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
})
