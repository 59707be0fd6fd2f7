import { Alert, Anchor, List, Text, UnstyledButton } from '@mantine/core'
import { IconAlertOctagon, IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react'
import { useState, type ReactNode } from 'react'
import { Link } from 'react-router'
import { parseMissing, type FailedChild } from '../api/stats.ts'
import classes from './Trust.module.css'

const few = 5

/** Frames an answer; one from which something is missing in red, with the names of who is. */
export function Incomplete({
  missing,
  queryId,
  children,
}: {
  missing: (FailedChild & { tier: string })[]
  queryId: string
  children: ReactNode
}) {
  const [all, setAll] = useState(false)
  if (missing.length === 0) return <>{children}</>
  return (
    <div className={classes.incomplete}>
      <div className={classes.banner} role="alert">
        <IconAlertOctagon size={18} aria-hidden="true" style={{ flex: 'none', marginTop: 2 }} />
        <div style={{ minWidth: 0 }}>
          <Text fw={700} size="sm">
            Incomplete answer: {missing.length} {missing.length === 1 ? 'child is' : 'children are'} missing from it
          </Text>
          <List size="sm" spacing={0} listStyleType="none" className={classes.names}>
            {missing.slice(0, all ? undefined : few).map((m) => (
              <List.Item key={m.name}>
                <Anchor
                  component={Link}
                  to={'/leaf?name=' + encodeURIComponent(m.name)}
                  c="inherit"
                  fw={600}
                  underline="always"
                  size="sm"
                >
                  {m.tier} {m.name}
                </Anchor>
                : {m.late && 'late: '}
                {m.reason}
              </List.Item>
            ))}
          </List>
          {missing.length > few && (
            <UnstyledButton onClick={() => setAll((a) => !a)} fz="sm" td="underline">
              {all ? 'Show fewer' : `Show the other ${missing.length - few}`}
            </UnstyledButton>
          )}{' '}
          <Anchor
            component={Link}
            to={'/why?id=' + encodeURIComponent(queryId)}
            c="inherit"
            underline="always"
            size="sm"
          >
            Why
          </Anchor>
        </div>
      </div>
      <div className={classes.inside}>{children}</div>
    </div>
  )
}

/** The warnings and infos of an answer but for those about missing children. */
export function Notes({ warnings, infos }: { warnings: string[]; infos: string[] }) {
  const rest = warnings.filter((w) => !parseMissing(w))
  return (
    <>
      <Note color="orange" title="Warning" icon={<IconAlertTriangle size={16} />} texts={rest} />
      <Note color="blue" title="Note" icon={<IconInfoCircle size={16} />} texts={infos} />
    </>
  )
}

function Note({ color, title, icon, texts }: { color: string; title: string; icon: ReactNode; texts: string[] }) {
  const [all, setAll] = useState(false)
  if (texts.length === 0) return null
  return (
    <Alert color={color} icon={icon} py={6} my={6} aria-label={title}>
      {texts.slice(0, all ? undefined : 3).map((t) => (
        <Text key={t} size="sm" style={{ overflowWrap: 'anywhere' }}>
          <b>{title}: </b>
          {t}
        </Text>
      ))}
      {texts.length > 3 && (
        <UnstyledButton onClick={() => setAll((a) => !a)} fz="sm" td="underline">
          {all ? 'Show fewer' : `Show the other ${texts.length - 3}`}
        </UnstyledButton>
      )}
    </Alert>
  )
}
