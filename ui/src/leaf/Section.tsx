import { Alert, Group, Paper, Text, Title } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { unreadable } from '../api/below.ts'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Stale } from '../parts/Stale.tsx'

/** A part of the page with its title and a link to the page that tells all. */
export function Section({ title, more, children }: { title: string; more?: ReactNode; children: ReactNode }) {
  return (
    <Paper withBorder p="sm" component="section" aria-label={title} style={{ minWidth: 0 }}>
      <Group justify="space-between" mb={6} gap="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        {more}
      </Group>
      {children}
    </Paper>
  )
}

/** What a member answered, or that it is being asked, or why it did not. */
export function Answered<T>({
  of,
  what,
  children,
}: {
  of: UseQueryResult<T>
  what: string
  children: (data: T) => ReactNode
}) {
  const why = of.error === null ? undefined : unreadable(of.error)
  if (of.error !== null && of.data !== undefined) {
    const title = what.charAt(0).toUpperCase() + what.slice(1)
    return (
      <>
        <Stale what={title} error={of.error} at={of.dataUpdatedAt} retry={() => void of.refetch()} />
        {children(of.data)}
      </>
    )
  }
  return (
    <>
      {of.isPending && of.fetchStatus !== 'idle' && <Loading what={`asking for ${what}`} />}
      {why !== undefined && (
        <Alert color="orange" p="xs" title={`No ${what}`}>
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            {why}
          </Text>
        </Alert>
      )}
      {of.error !== null && why === undefined && (
        <Failure what={`No ${what}`} error={of.error} retry={() => void of.refetch()} />
      )}
      {of.data !== undefined && children(of.data)}
    </>
  )
}
