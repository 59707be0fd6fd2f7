import { useEffect, useState } from 'react'

export type Language = typeof import('./language.ts')

let loading: Promise<Language> | undefined

/** The grammar, loaded once and after the frame is painted. */
export function loadLanguage(): Promise<Language> {
  loading ??= import('./language.ts').catch((e: unknown) => {
    loading = undefined
    throw e
  })
  return loading
}

/** The grammar, once it is there. */
export function useLanguage(): Language | undefined {
  const [lang, setLang] = useState<Language>()
  useEffect(() => {
    let on = true
    loadLanguage().then(
      (l) => on && setLang(() => l),
      () => undefined,
    )
    return () => {
      on = false
    }
  }, [])
  return lang
}
