import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// The tier that the development server passes API requests on to.
const tier = process.env.PANDO_URL ?? 'http://127.0.0.1:9090'

export default defineConfig({
  plugins: [react()],
  // Assets are found relative to the page, so that one build works below any
  // prefix that a proxy strips. That is why no page has a path of two segments.
  base: './',
  // Browsers that know light-dark(): without them named it is rewritten into
  // variables that nothing sets, and the colours that use it are lost.
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    sourcemap: false,
    chunkSizeWarningLimit: 700,
    emptyOutDir: true,
  },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(['/api', '/pando', '/metrics', '/-'].map((p) => [p, { target: tier }])),
  },
  test: { environment: 'jsdom', include: ['src/**/*.test.{ts,tsx}'], setupFiles: ['src/testsetup.ts'], css: false },
})
