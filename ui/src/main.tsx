import '@mantine/core/styles.css'
import { createTheme, MantineProvider, type CSSVariablesResolver } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { BrowserRouter } from 'react-router'
import { ApiError, prefix } from './api/client.ts'
import { App } from './app/App.tsx'
import { SettingsProvider } from './app/settings.tsx'

const theme = createTheme({
  primaryColor: 'cyan',
  primaryShade: { light: 9, dark: 5 },
  autoContrast: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace',
  defaultRadius: 'sm',
  cursorType: 'pointer',
})

// Dimmed text must still be read: 4.5 to 1 against every background that it stands on.
const readable: CSSVariablesResolver = (t) => ({
  variables: {},
  light: { '--mantine-color-dimmed': t.colors.gray[7] },
  dark: { '--mantine-color-dimmed': t.colors.dark[1] },
})

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // An answer that was refused stays refused; one that did not come may come.
      retry: (failures, e) => failures < 2 && !(e instanceof ApiError && e.status >= 400 && e.status < 500),
      refetchOnWindowFocus: false,
      staleTime: 2000,
    },
  },
})

const root = document.getElementById('root')
if (!root) throw new Error('the page has no element with id "root"')
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={readable} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <SettingsProvider>
          <BrowserRouter basename={prefix.replace(/\/$/, '')}>
            <App />
          </BrowserRouter>
        </SettingsProvider>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
)
