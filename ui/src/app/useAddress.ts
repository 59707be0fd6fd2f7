import { useSearchParams } from 'react-router'

/** The parameters of the page's address, and a function that changes some of them; '' takes one away. */
export function useAddress() {
  const [params, setParams] = useSearchParams()
  const set = (changes: Record<string, string>, o: { push?: boolean } = {}) =>
    setParams((old) => changed(old, changes), { replace: !o.push })
  return { params, set }
}

/** The same parameters with these changes. */
export function changed(params: URLSearchParams, changes: Record<string, string>): URLSearchParams {
  const out = new URLSearchParams(params)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') out.delete(name)
    else out.set(name, value)
  }
  return out
}
