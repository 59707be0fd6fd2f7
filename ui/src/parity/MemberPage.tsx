import { Anchor } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { useMember } from '../api/member.ts'
import { MemberPicker } from '../parts/MemberPicker.tsx'
import { Page } from '../parts/Page.tsx'

/** A page about one tier, this one or any below, with the choice of which. */
export function MemberPage({ path, children }: { path: string; children: (member: string) => ReactNode }) {
  const [member, setMember] = useMember()
  return (
    <Page
      path={path}
      actions={
        <>
          {member && (
            <Anchor component={Link} to={`/leaf?name=${encodeURIComponent(member)}`} size="sm">
              about it
            </Anchor>
          )}
          <MemberPicker value={member} onChange={setMember} label="Tier that the page is about" />
        </>
      }
    >
      {children(member)}
    </Page>
  )
}
