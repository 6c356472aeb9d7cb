/** Contestants take turns: whatever else the machine does meanwhile, it does to all of them. */
export interface Contender<A> {
  readonly name: string
  readonly turn: () => Promise<A>
}

/** The turns of each, round by round; who begins changes with every round. */
export const inRounds = async <A>(
  contenders: ReadonlyArray<Contender<A>>,
  rounds: number
): Promise<ReadonlyMap<string, ReadonlyArray<A>>> => {
  const turns = new Map<string, Array<A>>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    const first = round % contenders.length
    for (const { name, turn } of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      turns.get(name)?.push(await turn())
    }
  }
  return turns
}

/** One contender's figure over another's, round by round. */
export const ratios = <A>(
  turns: ReadonlyMap<string, ReadonlyArray<A>>,
  name: string,
  to: string,
  figure: (turn: A) => number
): ReadonlyArray<number> => {
  const others = turns.get(to) ?? []
  return (turns.get(name) ?? []).flatMap((turn, index) => {
    const other = others[index]
    return other === undefined ? [] : [figure(turn) / figure(other)]
  })
}
