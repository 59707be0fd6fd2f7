import { Page } from '../parts/Page.tsx'

export default function RulesPage() {
  return <Page path="rules">{null}</Page>
}
