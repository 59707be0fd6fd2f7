import { TextInput } from '@mantine/core'
import { useState } from 'react'
import { useBelow } from '../api/below.ts'

import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Unread } from '../parts/Unread.tsx'
import { MemberPage } from './MemberPage.tsx'

interface Flag {
  name: string
  value: string
}

const columns: Column<Flag>[] = [
  { key: 'name', title: 'Flag', render: (f) => <code>--{f.name}</code>, sort: (f) => f.name },
  { key: 'value', title: 'Value', render: (f) => <span title={f.value}>{f.value}</span>, sort: (f) => f.value },
]

export default function FlagsPage() {
  return <MemberPage path="flags">{(member) => <Flags key={member} member={member} />}</MemberPage>
}

function Flags({ member }: { member: string }) {
  const [text, setText] = useState('')
  const read = useBelow<Record<string, string>>(member, 'api/v1/status/flags')
  const { data } = read
  const note = <Unread what="The list of flags" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the flags" />
  const flags = Object.entries(data).map(([name, value]) => ({ name, value }))
  if (flags.length === 0)
    return <Empty title="No flags are told">This tier was started by a program that tells none.</Empty>
  const wanted = text.trim().toLowerCase()
  const rows = flags.filter((f) => `${f.name} ${f.value}`.toLowerCase().includes(wanted))
  return (
    <>
      {note}
      <TextInput
        size="xs"
        mb="xs"
        maw={360}
        placeholder="Part of a name or a value"
        aria-label="Filter flags"
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
      />
      <DataTable
        label="Flags"
        rows={rows}
        columns={columns}
        rowKey={(f) => f.name}
        initial={{ key: 'name', down: false }}
      />
    </>
  )
}
