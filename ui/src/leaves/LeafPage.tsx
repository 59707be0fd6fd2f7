import { Alert, Anchor, Button, Group, Text } from '@mantine/core'
import { IconSearch } from '@tabler/icons-react'
import { Link, useNavigate, useSearchParams } from 'react-router'
import { useBelow } from '../api/below.ts'
import { useTree, type Tree } from '../api/tree.ts'
import { findMember, similar, type Found } from '../leaf/found.ts'
import { Gaps, HintOf, Identity } from '../leaf/Identity.tsx'
import classes from '../leaf/leaf.module.css'
import { Kept, Rules, Storage, Targets } from '../leaf/Own.tsx'
import { identityMatchers } from '../leaf/targets.ts'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { MemberPicker } from '../parts/MemberPicker.tsx'
import { Page } from '../parts/Page.tsx'
import { Unread } from '../parts/Unread.tsx'

export default function LeafPage() {
  const [params, setParams] = useSearchParams()
  const name = params.get('name') ?? ''
  const read = useTree()
  const { data: tree, error, isPending } = read
  const found = tree ? findMember(tree, name) : []
  const first = found[0]
  return (
    <Page
      path="leaf"
      title={first ? first.node.name : name || 'Leaf'}
      actions={
        <>
          <MemberPicker value={name} onChange={(n) => setParams(n ? { name: n } : {})} />
          {first && <Ask found={first} />}
        </>
      }
    >
      <Unread what="The tree" of={read} />
      {isPending && error === null && <Loading what="asking for the tree" />}
      {tree && !first && <Unknown tree={tree} name={name} />}
      {tree && first && <Member key={name} tree={tree} found={found} />}
    </Page>
  )
}

/** Leads to queries over what the member holds. */
function Ask({ found }: { found: Found }) {
  const matchers = identityMatchers(found.node.labels)
  if (matchers === '') return null
  return (
    <Button
      component={Link}
      to={`/query?g0.expr=${encodeURIComponent(`up{${matchers}}`)}&g0.tab=table`}
      size="xs"
      variant="default"
      leftSection={<IconSearch size={14} />}
    >
      Query it
    </Button>
  )
}

const tooLittle: Record<string, string> = {
  refused:
    'It was started with --no-web.status-to-parents: it does not let tiers above read its status. Its own console shows it.',
  'too-old':
    'It, or a tier between, runs a version that does not answer tiers above. Upgrade it, or open its own console.',
  unreachable: 'A tier between does not answer, or is too old to pass requests on.',
}

function Member({ tree, found }: { tree: Tree; found: Found[] }) {
  const first = found.find((f) => f.node.state !== 'missing') ?? (found[0] as Found)
  const { node, above } = first
  const self = node.state === 'self'
  const member = self ? '' : node.name
  const away = node.state === 'missing'
  const cannot =
    node.readable === false && !away
      ? (tooLittle[node.unreadable ?? ''] ?? `It cannot be asked: ${node.unreadable ?? 'it does not tell why'}.`)
      : undefined
  const readable = !away && cannot === undefined
  return (
    <>
      {found.length > 1 && (
        <Text size="sm" mb="xs">
          It is connected to {found.length} tiers: {found.map((f) => f.above.at(-1)?.name ?? 'this tier').join(', ')}.
          What is shown is as the first that it is connected to tells.
        </Text>
      )}
      {away && (
        <Alert color="red" mb="xs" p="xs" title="It is missing: answers lack its part">
          <Text size="sm">
            What is shown is what was known when it was last here. Targets, storage and rules can be read once it is
            back.
          </Text>
        </Alert>
      )}
      {cannot && (
        <Alert color="orange" mb="xs" p="xs" title="Its own status cannot be read from here">
          <Text size="sm">{cannot} What this tier knows of it is below.</Text>
        </Alert>
      )}
      <div className={classes.columns}>
        <Identity node={node} above={above} at={tree.at} />
        {readable && node.tier === 'leaf' && <Targets member={member} />}
        <Hint found={first} tree={tree} member={member} readable={readable} />
        {readable && <Rules member={member} />}
        {node.tier === 'leaf' && <Gaps node={node} at={tree.at} />}
        {readable && <Kept member={member} />}
      </div>
      {readable && node.tier === 'leaf' && <Storage member={member} />}
    </>
  )
}

// Its own tree tells of its links to its parents.
function Hint({ found, tree, member, readable }: { found: Found; tree: Tree; member: string; readable: boolean }) {
  const own = useBelow<Tree>(member, 'pando/api/v1/tree', {
    plain: true,
    every: 15_000,
    enabled: readable && member !== '',
  })
  return <HintOf node={found.node} parents={member === '' ? tree.parents : own.data?.parents} />
}

function Unknown({ tree, name }: { tree: Tree; name: string }) {
  const navigate = useNavigate()
  const near = similar(tree, name, 5)
  return (
    <Empty title="There is no such member">
      <Text size="sm">
        No member of this {tree.self.tier} is named <code>{name}</code>: it was forgotten, has another name now, or a
        zone above it is away and its leaves are not listed.
      </Text>
      {near.length > 0 && (
        <Group justify="center" gap="xs" mt="xs">
          {near.map((n) => (
            <Anchor
              key={n}
              component="button"
              size="sm"
              onClick={() => void navigate(`/leaf?name=${encodeURIComponent(n)}`)}
            >
              {n}
            </Anchor>
          ))}
        </Group>
      )}
      <Anchor component={Link} to="/leaves" size="sm">
        all leaves
      </Anchor>
    </Empty>
  )
}
