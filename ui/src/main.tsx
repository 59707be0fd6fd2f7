import './styles.ts'
import { createTheme, defaultVariantColorsResolver, MantineProvider, type CSSVariablesResolver } from '@mantine/core'
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
  // The text on what is filled would be chosen by the light scheme's shade alone.
  variantColorResolver: (input) => {
    const colors = defaultVariantColorsResolver(input)
    const primary = !input.color || input.color === input.theme.primaryColor
    return input.variant === 'filled' && primary
      ? { ...colors, color: 'var(--mantine-primary-color-contrast)' }
      : colors
  },
})

// What a filled button of the light scheme is under a pointer: darker, since its text is white.
const hovered = '#095c6b'

// The titles of warnings, for the same reason: the darkest orange there is has 3.6 to 1 on theirs.
const warning = '#8f3200'

// Dimmed text must still be read: 4.5 to 1 against every background that it stands on.
const readable: CSSVariablesResolver = (t) => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': t.colors.gray[7],
    '--mantine-primary-color-filled-hover': hovered,
    '--mantine-color-cyan-filled-hover': hovered,
    '--mantine-color-orange-light-color': warning,
  },
  dark: { '--mantine-color-dimmed': t.colors.dark[1] },
})

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // An answer that was refused stays refused; one that did not come may come. Who hangs is not waited for again: what
      // is asked by itself is asked anew anyhow, and until then the page must say that nothing comes.
      retry: (failures, e) =>
        failures < 2 && !(e instanceof ApiError && ((e.status >= 400 && e.status < 500) || e.type === 'silent')),
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
