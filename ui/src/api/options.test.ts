import { describe, expect, it } from 'vitest'
import { defaultOptions, optionParams, optionWords, readOptions } from './options.ts'

describe('options', () => {
  it('asks as usual if nothing is chosen', () => expect(optionParams(defaultOptions)).toEqual({}))
  it('names options as the API does', () =>
    expect(
      optionParams({
        strict: true,
        hints: false,
        pushdown: false,
        rollup: false,
        cache: false,
        align: true,
        timeout: '5s',
      }),
    ).toEqual({
      partial_response: 'false',
      hints: 'off',
      pushdown: 'off',
      rollup: 'off',
      nocache: '1',
      align: 'on',
      timeout: '5s',
    }))
  it('are read as they are written, and as the API takes them', () => {
    const read = (s: string) => {
      const q = new URLSearchParams(s)
      return readOptions((name) => q.get(name))
    }
    expect(read('')).toEqual(defaultOptions)
    const all = 'partial_response=false&hints=off&pushdown=off&rollup=off&nocache=1&align=on&timeout=5s'
    expect(new URLSearchParams(optionParams(read(all))).toString()).toBe(all)
    expect(read('hints=0&nocache=true&partial_response=0&timeout=soon')).toEqual({
      ...defaultOptions,
      hints: false,
      cache: false,
      strict: true,
    })
  })
  it('are said only where they are not as usual', () => {
    expect(optionWords(defaultOptions)).toEqual([])
    expect(optionWords({ ...defaultOptions, hints: false, timeout: '5s' })).toEqual([
      'without field hints',
      'timeout 5s',
    ])
  })
})
