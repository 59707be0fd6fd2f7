import { describe, expect, it } from 'vitest'
import { ApiError } from '../api/client.ts'
import { advice } from './Failure.tsx'

describe('advice', () => {
  it('tells a refusal of a member from one of this tier', () => {
    expect(advice(new ApiError('no', 403, 'member_refuses', { data: { member: 'eu-1' } }))).toContain(
      'eu-1 does not let',
    )
    expect(advice(new ApiError('no', 403, ''))).toContain('Sign in')
  })
  it('does not take what is not found for a member', () =>
    expect(advice(new ApiError('no query of that id', 404, 'not_found'))).toContain('dropped'))

  it.each([
    ['a tier that does not answer', 0, 'unreachable', 'Check that the process runs'],
    ['a tier that hangs', 0, 'silent', 'look at the load'],
    ['a query that is wrong', 400, 'bad_data', 'Change the request'],
    ['who has not signed in', 401, '', 'Sign in'],
    ['a limit', 422, 'execution', 'if it is a limit that it names: narrow it'],
    ['a query that took too long', 503, 'timeout', 'Narrow it to a zone'],
    ['a query that somebody canceled', 499, 'canceled', 'Ask again'],
    ['a full queue', 503, 'unavailable', 'Try again'],
    ['a proxy before a tier that is gone', 502, '', 'proxy’s log'],
    ['what nobody thought of', 418, '', 'log of this tier'],
  ])('says what to do about %s', (_, status, type, todo) =>
    expect(advice(new ApiError('no', status, type))).toContain(todo),
  )
})
