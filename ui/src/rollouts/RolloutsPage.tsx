import { Page } from '../parts/Page.tsx'

export default function RolloutsPage() {
  return <Page path="rollouts">{null}</Page>
}
