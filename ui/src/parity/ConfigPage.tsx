import { Box, Button, CopyButton, Group, Text, TextInput } from '@mantine/core'
import { useMemo, useState } from 'react'
import { useBelow } from '../api/below.ts'

import { Empty } from '../parts/Empty.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Unread } from '../parts/Unread.tsx'
import { When } from '../parts/When.tsx'
import { MemberPage } from './MemberPage.tsx'
import { matching } from './lines.ts'

interface Runtime {
  reloadConfigSuccess: boolean
  lastConfigTime: string
}

export default function ConfigPage() {
  return <MemberPage path="config">{(member) => <Config key={member} member={member} />}</MemberPage>
}

function Config({ member }: { member: string }) {
  const [text, setText] = useState('')
  const read = useBelow<{ yaml: string }>(member, 'api/v1/status/config')
  const { data } = read
  const runtime = useBelow<Runtime>(member, 'api/v1/status/runtimeinfo')
  const lines = useMemo(() => matching(data?.yaml ?? '', text), [data, text])
  const note = <Unread what="The configuration" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the configuration" />
  return (
    <>
      {note}
      <Group mb="xs" gap="sm">
        {runtime.data && (
          <Health level={runtime.data.reloadConfigSuccess ? 'good' : 'bad'}>
            {runtime.data.reloadConfigSuccess ? 'loaded ' : 'the last reload FAILED; this is what was loaded before, '}
            <When t={runtime.data.lastConfigTime} />
          </Health>
        )}
        <TextInput
          size="xs"
          w={240}
          placeholder="Lines that contain"
          aria-label="Filter lines"
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
        />
        <CopyButton value={data.yaml}>
          {({ copied, copy }) => (
            <Button size="xs" variant="default" onClick={copy}>
              {copied ? 'Copied' : 'Copy'}
            </Button>
          )}
        </CopyButton>
      </Group>
      {data.yaml.trim() === '' ? (
        <Empty title="The configuration is empty">This tier runs by its flags alone.</Empty>
      ) : (
        <Box
          component="pre"
          tabIndex={0}
          aria-label="Configuration"
          m={0}
          p="sm"
          fz="sm"
          style={{
            overflow: 'auto',
            maxHeight: 'max(240px, calc(100vh - 240px))',
            border: '1px solid var(--mantine-color-default-border)',
          }}
        >
          {lines.map((l) => (
            <div key={l.number}>
              <Text
                span
                c="dimmed"
                fz="xs"
                mr="md"
                style={{ display: 'inline-block', minWidth: 36, textAlign: 'right', userSelect: 'none' }}
              >
                {l.number}
              </Text>
              {l.text}
            </div>
          ))}
          {lines.length === 0 && <Text size="sm">No line contains it.</Text>}
        </Box>
      )}
    </>
  )
}
