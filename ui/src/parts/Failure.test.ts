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
})
