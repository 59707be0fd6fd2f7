import { createContext, useContext, useMemo, useState, type ReactNode } from 'react'
import type { Zone } from '../format/times.ts'

/** What a person chose for this browser. */
export interface Settings {
  zone: Zone
  setZone: (z: Zone) => void
}

const Context = createContext<Settings>({ zone: 'local', setZone: () => {} })

/** The settings of this browser. */
export const useSettings = () => useContext(Context)

/** Reads a value that this browser keeps; fallback if there is none, or it cannot be read. */
export function stored<T>(key: string, fallback: T): T {
  try {
    const text = localStorage.getItem('pando.' + key)
    return text === null ? fallback : (JSON.parse(text) as T)
  } catch {
    return fallback
  }
}

/** Has this browser keep a value. Browsers that refuse forget it. */
export function store(key: string, value: unknown): void {
  try {
    localStorage.setItem('pando.' + key, JSON.stringify(value))
  } catch {
    // Private windows and full disks: the setting holds until the page is left.
  }
}

export function SettingsProvider({ children }: { children: ReactNode }) {
  const [zone, setZone] = useState<Zone>(() => (stored<Zone>('zone', 'local') === 'utc' ? 'utc' : 'local'))
  const settings = useMemo(
    () => ({
      zone,
      setZone: (z: Zone) => {
        store('zone', z)
        setZone(z)
      },
    }),
    [zone],
  )
  return <Context.Provider value={settings}>{children}</Context.Provider>
}
